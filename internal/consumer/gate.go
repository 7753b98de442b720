package consumer

import (
	"context"
	"slices"
	"sync"
)

// A gate lets so many in at a time, in the order in which they come. Who has to be alone waits
// until nobody is inside, and keeps those behind it waiting meanwhile.
type gate struct {
	notice func(inside, limit int) // called with every change, quickly; may be nil

	mu      sync.Mutex
	limit   int
	inside  int
	alone   bool // the one inside has to be alone
	waiting []*visitor
}

type visitor struct {
	alone bool
	in    chan struct{} // closed when it is let in
}

// enter waits until it is let in, or returns ctx's error. Who is in has to leave.
func (g *gate) enter(ctx context.Context, alone bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v := &visitor{alone, make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, v)
	g.admit()
	g.mu.Unlock()
	select {
	case <-v.in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, v); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	} else { // it was let in this moment
		g.out()
	}
	g.admit()
	return ctx.Err()
}

// leave makes room for somebody else.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out()
	g.admit()
}

// allow changes how many may be inside. If there are more now, nobody is let in until enough have
// left.
func (g *gate) allow(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.admit()
}

// load returns how many are inside and how many may be.
func (g *gate) load() (inside, limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside, g.limit
}

// The methods below are called with the mutex held.

func (g *gate) out() {
	g.inside--
	g.alone = false
}

// admit lets those in for whom there is room and says what came of it.
func (g *gate) admit() {
	for len(g.waiting) > 0 {
		v := g.waiting[0]
		if g.alone || v.alone && g.inside > 0 || g.inside >= g.limit {
			break
		}
		g.waiting = g.waiting[1:]
		g.inside++
		g.alone = v.alone
		close(v.in)
	}
	if g.notice == nil {
		return
	}
	if g.alone { // the others are kept out: it is not as if so few were allowed
		g.notice(0, g.limit)
		return
	}
	g.notice(g.inside, g.limit)
}
