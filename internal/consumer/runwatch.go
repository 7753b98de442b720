package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// AskEvery is how often the queue is asked about the run, unless there is a reason to hurry. That
// the run was deleted the queue says by itself.
const AskEvery = 2 * time.Minute

const (
	askHeld   = 15 * time.Second // while a GPU is held for a reason that may end elsewhere
	askPin    = 5 * time.Second  // while the run has no pin, and answers of this consumer may set it
	pinSoon   = 10 * time.Minute // after which nothing seems to set one: the sink may be an earlier version
	pinLater  = 30 * time.Second
	askWithin = 10 * time.Second
)

// A runWatch knows what the queue says of the run: what it requires of a GPU, and how many GPUs
// serve it.
type runWatch struct {
	ask    func(ctx context.Context) (pipeline.RunInfo, error) // nil: nothing is known beyond the beginning
	every  func(pipeline.RunInfo) time.Duration                // until the next question; nil: AskEvery
	tell   func()                                              // called after each answer
	log    *zap.Logger
	urgent chan struct{} // holds a value while a question is wanted at once

	mu       sync.Mutex
	info     pipeline.RunInfo
	asked    time.Time // when the last question began
	unpinned time.Time // when an answer first waited for a pin
}

func newRunWatch(ask func(ctx context.Context) (pipeline.RunInfo, error), known pipeline.RunInfo, log *zap.Logger) *runWatch {
	return &runWatch{ask: ask, info: known, log: log, urgent: make(chan struct{}, 1)}
}

// Info returns what is known of the run. What is zero is not known.
func (w *runWatch) Info() pipeline.RunInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info
}

// AskNow has the watch ask before it is time.
func (w *runWatch) AskNow() {
	select {
	case w.urgent <- struct{}{}:
	default: // it will anyway
	}
}

// AskForPin has the watch ask if it has not done so for a while: an answer is about to be made, and
// it is not known by which model it has to be.
func (w *runWatch) AskForPin() {
	every := w.PinEvery()
	w.mu.Lock()
	due := time.Since(w.asked) > every+every/5 // else it is about to ask anyway
	w.mu.Unlock()
	if due {
		w.AskNow()
	}
}

// PinEvery returns how often the queue is asked while answers are made and there is no pin.
func (w *runWatch) PinEvery() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unpinned.IsZero() {
		w.unpinned = time.Now()
	}
	if time.Since(w.unpinned) > pinSoon {
		return pinLater
	}
	return askPin
}

// Run asks until ctx ends.
func (w *runWatch) Run(ctx context.Context) {
	if w.ask == nil {
		return
	}
	for ctx.Err() == nil {
		if _, err := w.Ask(ctx); err != nil && ctx.Err() == nil {
			w.log.Debug("asking what the queue says of the run", zap.Error(err))
		}
		timer := time.NewTimer(w.every(w.Info()))
		select {
		case <-timer.C:
		case <-w.urgent:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Ask asks the queue, and returns what it says.
func (w *runWatch) Ask(ctx context.Context) (pipeline.RunInfo, error) {
	w.mu.Lock()
	w.asked = time.Now()
	w.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	info, err := w.ask(limited)
	if err != nil {
		return info, err
	}
	w.mu.Lock()
	w.info = info
	w.mu.Unlock()
	w.tell()
	return info, nil
}
