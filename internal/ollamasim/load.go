package ollamasim

import (
	"context"

	"gleaner/internal/outage"
)

// A loading is a model that is loaded, or being loaded until ready is closed.
type loading struct {
	name, digest string
	shift        bool // with which it was launched
	ready        chan struct{}
	err          error         // set before ready is closed
	users        int           // requests that it is kept for
	outdated     bool          // it goes with its last user, and what comes meanwhile waits for that
	gone         chan struct{} // closed then
}

// load waits until a model is loaded as a request needs it, which has to leave it at its end. The
// first request loads it; if its client disconnects, the load is aborted. A model of another digest
// than the loaded one, or one that was launched otherwise, is loaded again as soon as the requests
// on it are answered.
func (s *Server) load(ctx context.Context, name string, shift bool) (*loading, error) {
	for {
		l, state := s.enter(name, shift)
		switch state {
		case mine:
			if s.finishLoad(ctx, l); l.err != nil {
				s.leave(l)
				return nil, l.err
			}
			return l, nil
		case shared:
			select {
			case <-l.ready:
			case <-ctx.Done():
			}
			if ctx.Err() == nil && l.err == nil {
				return l, nil
			}
			s.leave(l)
		case replaced:
			select {
			case <-l.gone:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// What a loaded model is for a request that needs it.
type loadState int

const (
	mine     loadState = iota // it is not loaded, and this request loads it
	shared                    // it is what the request needs, at the latest when it is ready
	replaced                  // it has to go first
)

func (s *Server) enter(name string, shift bool) (*loading, loadState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest, l := s.models[name].digest, s.loaded[name]
	if l != nil && (l.digest != digest || s.cfg.ReloadOnShift && l.shift != shift) {
		l.outdated = true
	}
	switch {
	case l != nil && !l.outdated:
		l.users++
		return l, shared
	case l != nil && l.users > 0:
		return l, replaced
	}
	l = &loading{name: name, digest: digest, shift: shift, users: 1, ready: make(chan struct{}), gone: make(chan struct{})}
	s.loaded[name] = l
	return l, mine
}

// leave ends the use of a loaded model by a request.
func (s *Server) leave(l *loading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 && l.outdated {
		s.forget(l)
		close(l.gone)
	}
}

// forget makes the next request load a model again. The caller holds the lock.
func (s *Server) forget(l *loading) {
	if s.loaded[l.name] == l {
		delete(s.loaded, l.name)
	}
}

func (s *Server) finishLoad(ctx context.Context, l *loading) {
	if wait := s.config().Load; wait > 0 {
		l.err = outage.Sleep(ctx, wait)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.err != nil {
		s.forget(l)
	} else {
		s.stats.Loads++
	}
	close(l.ready)
}

// unload forgets a model.
func (s *Server) unload(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.loaded, name)
}
