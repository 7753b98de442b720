package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

const (
	crashWindow = 5 * time.Minute // in which this many crashes of the runner
	maxCrashes  = 20              // mean that the server is broken; a prompt that crashes it may cost ten
	oneCrash    = 2 * time.Second // requests that fail within this time met the same crash
)

// errCrashes says that the server is broken.
var errCrashes = errors.New("its runner crashes again and again")

// A session is the time in which a server serves.
type session struct {
	server   Server
	began    time.Time
	ctx      context.Context
	cancel   context.CancelCauseFunc // ends all requests
	requests sync.WaitGroup          // those that have not returned
	failed   chan error              // holds the first request's error that ends the session

	mu       sync.Mutex
	inFlight int
	answers  int
	crashes  []time.Time // of the runner, within the last crashWindow
}

func newSession(server Server) *session {
	s := &session{server: server, began: time.Now(), failed: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// begin counts a request in.
func (s *session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
}

// end counts a request out and judges the server by its error. It reports whether that shows a
// crash of the runner that was not known before.
func (s *session) end(err error) (crash bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	now := time.Now()
	switch {
	case err == nil || pipeline.ClassOf(err).IsOutcome():
		s.answers++
	case errors.Is(err, pipeline.ErrMemory):
		s.fail(err)
	case errors.Is(err, pipeline.ErrRunnerCrashed):
		if n := len(s.crashes); n == 0 || now.Sub(s.crashes[n-1]) > oneCrash {
			s.crashes, crash = append(s.crashes, now), true
		}
		for now.Sub(s.crashes[0]) > crashWindow {
			s.crashes = s.crashes[1:]
		}
		if len(s.crashes) >= maxCrashes {
			s.fail(fmt.Errorf("%w: %w", errCrashes, err))
		}
	}
	return crash
}

// fail ends the session, unless another error did already.
func (s *session) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// load returns how many requests are in flight.
func (s *session) load() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight
}
