package consumer

import (
	"context"
	"errors"
	"fmt"
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

// ErrRunOver says that the run was cancelled or deleted. The error that wraps it says which.
var ErrRunOver = errors.New("the run is over")

const (
	// goneAfter is for how many leases a run may be absent from the queue. A queue that has lost it
	// has it again within two, if a process follows the run.
	goneAfter = 10
	// completeSoon is how long a run that is said to be complete may take to seem so: what others
	// hold is acknowledged first.
	completeSoon = 30 * time.Second
)

// A runWatch knows what the queue says of the run: what it requires of a GPU, how many GPUs serve
// it, and whether it is still there.
type runWatch struct {
	uid    string // of the run that is worked for; empty: not known
	lease  time.Duration
	over   func(cause error)                                   // called, perhaps more than once, when the run is cancelled or deleted
	ask    func(ctx context.Context) (pipeline.RunInfo, error) // nil: nothing is known beyond the beginning
	every  func(pipeline.RunInfo) time.Duration                // until the next question; nil: AskEvery
	tell   func()                                              // called after each answer
	log    *zap.Logger
	gone   <-chan struct{} // see Config; nil: never
	urgent chan struct{}   // holds a value while a question is wanted at once

	mu       sync.Mutex
	info     pipeline.RunInfo
	asked    time.Time // when the last question began
	unpinned time.Time // when an answer first waited for a pin
	absent   time.Time // since when the queue does not have the run; zero: it has it
	complete time.Time // when it was last told that the run is complete
}

func newRunWatch(ask func(ctx context.Context) (pipeline.RunInfo, error), known pipeline.RunInfo, log *zap.Logger) *runWatch {
	return &runWatch{ask: ask, uid: known.UID, info: known, log: log, urgent: make(chan struct{}, 1)}
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
		w.rest(ctx)
	}
}

// rest waits until it is time for the next question. A consumer without work asks by itself: then
// that is later, so that there is one question and not two.
func (w *runWatch) rest(ctx context.Context) {
	every := w.every(w.Info())
	timer := time.NewTimer(every)
	defer timer.Stop()
	for asked := w.lastAsked(); ; {
		select {
		case <-timer.C:
			last := w.lastAsked()
			if last.Equal(asked) {
				return
			}
			asked = last
			timer.Reset(time.Until(last.Add(every + every/5)))
		case <-w.urgent:
			return
		case <-w.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (w *runWatch) lastAsked() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// Ask asks the queue, and returns what it says.
func (w *runWatch) Ask(ctx context.Context) (pipeline.RunInfo, error) {
	w.mu.Lock()
	w.asked = time.Now()
	w.mu.Unlock()
	if w.ask == nil {
		return pipeline.RunInfo{}, errors.New("there is no one to ask about the run")
	}
	limited, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	info, err := w.ask(limited)
	if over := w.judge(info, err); over != nil {
		w.over(fmt.Errorf("%w: %w", ErrRunOver, over))
		return pipeline.RunInfo{}, over
	}
	if err != nil {
		return info, err
	}
	w.mu.Lock()
	w.info = info
	w.mu.Unlock()
	w.tell()
	return info, nil
}

// judge returns why the run is over, or nil. A queue that has lost everything has no runs either,
// and gets them back.
func (w *runWatch) judge(info pipeline.RunInfo, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil && w.foreign(info.UID):
		return fmt.Errorf("run %s was deleted, and another one is published under its name", info.Run)
	case err == nil, errors.Is(err, pipeline.ErrNoStreams):
		w.absent = time.Time{}
	case !errors.Is(err, pipeline.ErrNoRun):
	case w.absent.IsZero():
		w.absent = time.Now()
	case time.Since(w.absent) > goneAfter*w.lease:
		return fmt.Errorf("run %s is not on the queue any more: it was cancelled or deleted", w.info.Run)
	}
	return nil
}

// foreign reports whether a uid is that of another run than the one that is worked for.
func (w *runWatch) foreign(uid string) bool { return w.uid != "" && uid != "" && uid != w.uid }

// Hear takes in what the operator's programs say.
func (w *runWatch) Hear(news pipeline.RunNews) {
	switch {
	case w.foreign(news.UID):
	case news.What == pipeline.NewsCancelled, news.What == pipeline.NewsDeleted:
		w.over(fmt.Errorf("%w: run %s was %s", ErrRunOver, w.Info().Run, news.What))
	case news.What == pipeline.NewsComplete:
		w.mu.Lock()
		w.complete = time.Now()
		w.mu.Unlock()
	}
	w.AskNow()
}

// ToldComplete reports whether the run was said to be complete a moment ago.
func (w *runWatch) ToldComplete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.complete.IsZero() && time.Since(w.complete) < completeSoon
}
