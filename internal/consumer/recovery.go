package consumer

import (
	"context"
	"errors"
	"sync"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	recoveryPause = 250 * time.Millisecond // before the first word, doubled before each further one, so that none meets a runner that dies
	recoveryWords = 5                      // that fail before the server counts as away
)

// A recovery keeps requests back after the runner of a GPU's server has crashed, or the server has
// stalled, until the server says a word. One of those that wait asks for it, and all go on, or
// fail, with what comes of it.
type recovery struct {
	word func(ctx context.Context) error // asks the server for a word, alone

	mu      sync.Mutex
	pending bool
	current *asking // nil while none asks
}

// errNotAsked says that the one that was to ask was stopped.
var errNotAsked = errors.New("the server was not asked")

// An asking is one time that the server is asked until it answers or counts as away.
type asking struct {
	done chan struct{} // closed when err is set
	err  error
}

// Begin keeps requests back from now on.
func (r *recovery) Begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = true
}

// Pending reports whether requests are kept back.
func (r *recovery) Pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending
}

// Await returns nil once the server has answered, at once if nothing is amiss, or why it does not.
func (r *recovery) Await(ctx context.Context) error {
	for {
		r.mu.Lock()
		if !r.pending {
			r.mu.Unlock()
			return nil
		}
		mine := r.current == nil
		if mine {
			r.current = &asking{done: make(chan struct{})}
		}
		now := r.current
		r.mu.Unlock()
		if mine {
			r.finish(now, r.ask(ctx))
		}
		select {
		case <-now.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !errors.Is(now.err, errNotAsked) || ctx.Err() != nil { // else another asks
			return now.err
		}
	}
}

// finish tells all that wait what came of asking.
func (r *recovery) finish(a *asking, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, a.err = nil, err
	if err == nil {
		r.pending = false
	}
	close(a.done)
}

// ask asks for a word a few times. One after which the server asks to wait is no try, as long as a
// batch may wait for that.
func (r *recovery) ask(ctx context.Context) error {
	var err error
	words, crashes, pause, waited := 0, 0, recoveryPause, time.Duration(0)
	for words < recoveryWords {
		if outage.Sleep(ctx, outage.Jitter(pause)) != nil {
			return errNotAsked
		}
		err = r.word(ctx)
		if after, asked := askedToWait(err); asked && waited+after <= longestWait {
			if outage.Sleep(ctx, after) != nil {
				return errNotAsked
			}
			waited += after
			continue
		} else if asked {
			break
		}
		switch {
		case answered(err):
			return nil
		case ctx.Err() != nil:
			return errNotAsked
		case needsPerson(err) || errors.Is(err, errAway):
			return err
		case errors.Is(err, pipeline.ErrRunnerCrashed):
			crashes++
		}
		words, pause = words+1, 2*pause
	}
	if crashes == recoveryWords {
		return pipeline.Fail(pipeline.Fatal, "the runner crashes with everything, look at the log of the server and at the GPU's memory: %w", err)
	}
	return pipeline.Fail(pipeline.Retryable, "%w: %w", errAway, err)
}
