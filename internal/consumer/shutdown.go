package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

// ErrCut says that the grace was over before the work in hand was: it was handed back unfinished.
var ErrCut = errors.New("the grace was over before all work in hand was finished")

// A shutdown is how the work of a consumer ends. The order of events:
//
//  1. Taking ends: the user stops the consumer, no GPU is left, the run is complete, or there was
//     no work for too long. The first of these is the cause of the context. Near the deadline each
//     lane stops taking for itself when no further batch fits.
//  2. Work in hand goes on. After a stop by the user, or when no GPU is left, it may take the
//     grace, but nothing if the user has cancelled the run; it ends at the cutoff, a little before
//     the deadline, in any case.
//  3. What is not finished then is cut: the one context in which all work on batches lives ends,
//     and its cause is ErrCut or errDeadline, whichever comes first. Each worker publishes what is
//     finished and hands back the rest, for which it has the publish grace.
//  4. When all workers have ended, the supervisors stop their servers.
//  5. The helpers stop last: the last presence says that the consumer has stopped.
type shutdown struct {
	taking  context.Context // done when no more work is taken
	working context.Context // done when work in hand is cut

	endTaking context.CancelCauseFunc
	cut       context.CancelCauseFunc
	grace     time.Duration

	mu     sync.Mutex
	timers []*time.Timer // that cut
}

// newShutdown returns the shutdown of a consumer that runs until ctx ends. The caller has to call
// release. A cutoff of zero is never.
func newShutdown(ctx context.Context, grace time.Duration, cutoff time.Time) (s *shutdown, release func()) {
	s = &shutdown{grace: grace}
	s.taking, s.endTaking = context.WithCancelCause(ctx)
	s.working, s.cut = context.WithCancelCause(context.WithoutCancel(ctx))
	if !cutoff.IsZero() {
		s.cutAfter(time.Until(cutoff), errDeadline)
	}
	forget := context.AfterFunc(ctx, func() { s.Stop(context.Cause(ctx)) })
	return s, func() {
		forget()
		s.endTaking(nil)
		s.cut(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, timer := range s.timers {
			timer.Stop()
		}
	}
}

// Stop ends taking and begins the grace of what is in hand.
func (s *shutdown) Stop(cause error) {
	s.endTaking(cause)
	grace := s.grace
	if errors.Is(cause, pipeline.ErrCancelled) {
		grace = 0
	}
	s.cutAfter(grace, fmt.Errorf("%w: %w", ErrCut, cause))
}

// NoWork ends taking because there is nothing to take. What is in hand after all has no limit.
func (s *shutdown) NoWork(cause error) { s.endTaking(cause) }

func (s *shutdown) cutAfter(d time.Duration, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timers = append(s.timers, time.AfterFunc(d, func() { s.cut(cause) }))
}

// A background is goroutines that go on when a consumer is stopped, until they are stopped
// themselves.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
}

func newBackground(ctx context.Context) *background {
	b := &background{}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return b
}

func (b *background) Go(f func(ctx context.Context)) { b.group.Go(func() { f(b.ctx) }) }

// Stop ends the goroutines and waits for them.
func (b *background) Stop() {
	b.cancel()
	b.group.Wait()
}
