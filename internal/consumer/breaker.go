package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

const (
	maxDetailBytes = 1 << 10         // of the reason for which a GPU takes no work
	awayRest       = 2 * time.Second // at most, for a server that may be back at any moment
)

// A breaker keeps a GPU from taking work that would fail. The order of events:
//
//  1. Closed: every worker is admitted at once.
//  2. Trip opens it: a failure came that the next batch would meet, too. No worker is admitted, and
//     a batch that a worker had asked for before goes back. Batches in hand go on.
//  3. When the rest is over it is half open: one worker probes. It asks the model for a word, with
//     the model and the options of the request that failed. If that fails, go on with 2. What fails
//     meanwhile was asked before, so that it says less than the word.
//  4. Otherwise that worker is admitted, and takes one batch. The others wait.
//  5. The first attempt that began while it was half open and succeeded resets it: go on with 1. If
//     an attempt fails so that it trips, go on with 2. If the batch showed neither, the next worker
//     probes at once.
//
// It also opens when the GPU only gives verdicts, as Doubt says, and when a Hold keeps the GPU from
// work that it must not do.
//
// So hardly a batch is delivered to no effect, however long the GPU cannot work.
//
// Where the consumer runs the server itself, the server's supervisor suspends the breaker while
// there is no server, and resumes it once there is one: then it is closed, whatever was before.
// While it is suspended nothing else changes it.
type breaker struct {
	gpu string
	// rest is the time from a trip to the probe, or less if the server may be back at any moment, and
	// how long work in hand waits for a server that is restarted.
	rest  time.Duration
	probe func(ctx context.Context, failed pipeline.Request) error
	log   *zap.Logger
	// others reports whether another GPU is known that serves the run; nil: none is.
	others func() bool
	// onChange is called, without the lock, when a doubt or a hold begins or ends; nil: nothing.
	onChange func()

	mu        sync.Mutex
	position  position
	asking    bool              // a probe asks for its word
	retryAt   time.Time         // when the next probe is due, if it is open
	failed    *pipeline.Request // what a probe repeats, if it was a request that failed
	alone     time.Time         // since when no other GPU is known to serve the run; zero: one is
	served    time.Time         // when it was last closed, if it is not
	suspended bool              // there is no server
	forever   bool              // and never will be one again
	doubt     doubt
	holds     [holdKinds]string // why the GPU must not work; empty: it may
	state     pipeline.GPUState // what people see
	detail    string
	changed   chan struct{} // closed, and replaced, when any of this changes
}

// A position is that of a breaker.
type position int

const (
	closed position = iota
	open
	halfOpen
)

// A ticket admits one worker to one batch.
type ticket struct {
	breaker *breaker
	probe   bool // the worker is the one who probes
}

func newBreaker(gpu string, rest time.Duration, log *zap.Logger) *breaker {
	return &breaker{gpu: gpu, rest: rest, log: log, state: pipeline.GPUServing, changed: make(chan struct{})}
}

// notify wakes those who wait for a change. The caller holds mu.
func (b *breaker) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Admit waits until the worker may take a batch, or returns ctx's error. If the worker is the one
// who probes, it also asks the model for a word. The caller has to call Done.
func (b *breaker) Admit(ctx context.Context) (*ticket, error) {
	for ctx.Err() == nil {
		alone := !b.othersServe() // asked without the lock: the others ask the same
		b.mu.Lock()
		wait, changed := b.rest, b.changed
		b.note(alone)
		switch {
		case b.suspended || b.held() != "" || b.position == halfOpen:
		case b.position == closed:
			b.mu.Unlock()
			return &ticket{breaker: b}, nil
		case b.due(alone) > 0:
			wait = b.due(alone)
		default:
			b.position, b.asking = halfOpen, true
			b.mu.Unlock()
			t := &ticket{breaker: b, probe: true}
			switch err := b.ask(ctx); {
			case ctx.Err() != nil:
				t.Done(nil)
			case b.lets(err):
				if t.Valid() { // else it tripped meanwhile
					return t, nil
				}
			case b.doubted() && isNoAnswer(err):
				t.Done(nil)
			default:
				b.Trip(err)
			}
			continue
		}
		b.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil, ctx.Err()
}

// ask has a model that failed say a word. If no request failed there is nothing to ask.
func (b *breaker) ask(ctx context.Context) (err error) {
	b.mu.Lock()
	failed := b.failed
	b.mu.Unlock()
	if failed != nil {
		err = b.probe(ctx, *failed)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking = false
	return err
}

// lets reports whether the GPU takes a batch after its word. If it was away, any word shows that
// its server answers. If it is in doubt the word has to be a good one, unless the GPU takes a batch
// all the same.
func (b *breaker) lets(word error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if word != nil && (!isNoAnswer(word) || b.doubt.is && !b.worthless()) {
		return false
	}
	b.show()
	return true
}

// show sets the state that people see to the one of the position. The caller holds mu.
func (b *breaker) show() {
	switch {
	case b.suspended || b.state == pipeline.GPUStopped:
	case b.position == closed:
		b.state, b.detail = pipeline.GPUServing, ""
	case b.position == halfOpen:
		b.state, b.detail = pipeline.GPUProbing, b.doubt.why
	case b.doubt.is:
		b.state, b.detail = pipeline.GPUHeld, b.doubt.why
	}
}

// Valid reports whether the worker may still take work: the breaker may have tripped since.
func (t *ticket) Valid() bool {
	b := t.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.suspended && b.held() == "" && (b.position == closed || b.position == halfOpen && t.probe)
}

// Done gives the ticket back. If taking or doing the batch failed with an error that opens the
// breaker, it trips; if a probe has shown nothing, the next worker probes at once.
func (t *ticket) Done(err error) {
	b := t.breaker
	if opensBreaker(err) {
		b.Trip(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.probe && b.position == halfOpen {
		b.position = open
		b.postpone()
		b.show()
		b.notify()
	}
}

// open opens the breaker until a probe at this time. The caller holds mu.
func (b *breaker) open(until time.Time) {
	b.leave()
	b.position, b.retryAt = open, until
}

// leave is called before anything keeps the GPU from work. The caller holds mu.
func (b *breaker) leave() {
	if b.closed() {
		b.served = time.Now()
	}
}

// Trip opens the breaker and says why.
func (b *breaker) Trip(why error) {
	rest := b.rest
	if !needsPerson(why) {
		rest = min(rest, awayRest)
	}
	b.mu.Lock()
	if b.suspended || b.asking && !needsPerson(why) { // the supervisor, or the word, knows better
		b.mu.Unlock()
		return
	}
	first := b.position == closed
	b.open(time.Now().Add(rest))
	b.state, b.detail = pipeline.GPUHeld, text.Shorten(why.Error(), maxDetailBytes)
	b.notify()
	b.mu.Unlock()
	if first {
		b.log.Error("this GPU takes no work until that is mended", zap.Error(why), zap.Duration("next_try", rest))
	}
}

// Reset closes the breaker.
func (b *breaker) Reset() {
	b.mu.Lock()
	if b.suspended {
		b.mu.Unlock()
		return
	}
	first, doubted := b.position != closed, b.doubt.is
	b.position, b.failed, b.doubt = closed, nil, doubt{}
	b.show()
	b.notify()
	b.mu.Unlock()
	if doubted {
		b.changedWork()
	}
	if first {
		b.log.Info("this GPU is mended and takes work again")
	}
}

// Observe takes in what came of an attempt on a generation, and whether the breaker was half open
// when it began. Every such attempt on this GPU is observed, so a rule that counts failures belongs
// here.
func (b *breaker) Observe(probe bool, err error) {
	if probe && answered(err) && !b.doubted() {
		b.Reset()
	}
}

// ProbeWith has the next probe repeat a request, with another prompt.
func (b *breaker) ProbeWith(failed pipeline.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = &failed
}

// Probing reports whether the breaker is half open.
func (b *breaker) Probing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.position == halfOpen
}

// Closed reports whether any worker may take work.
func (b *breaker) Closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed()
}

// closed is Closed for a caller that holds mu.
func (b *breaker) closed() bool { return !b.suspended && b.held() == "" && b.position == closed }

// SeenServing reports whether others may take the GPU for one that serves: it is closed, or was a
// moment ago.
func (b *breaker) SeenServing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed() || time.Since(b.served) < aloneAfter
}

// Suspend admits nothing while the GPU's server is not there, or never again, and says why.
func (b *breaker) Suspend(state pipeline.GPUState, detail string, forever bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave()
	b.suspended, b.forever, b.position = true, forever, closed
	b.state, b.detail = state, text.Shorten(detail, maxDetailBytes)
	b.notify()
}

// Resume closes the breaker: the GPU has a server about which nothing bad is known.
func (b *breaker) Resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspended, b.forever, b.position, b.failed, b.doubt = false, false, closed, nil, doubt{}
	b.show()
	b.notify()
}

// AwaitServer waits while the breaker is suspended, but no longer than work in hand should wait:
// then another GPU does it sooner, and the failure is errAway.
func (b *breaker) AwaitServer(ctx context.Context) error {
	patience := time.NewTimer(b.rest)
	defer patience.Stop()
	for {
		b.mu.Lock()
		suspended, late, changed := b.suspended, b.forever, b.changed
		status := pipeline.GPUStatus{State: b.state, Detail: b.detail}
		b.mu.Unlock()
		if !suspended {
			return nil
		}
		if !late {
			select {
			case <-changed:
			case <-patience.C:
				late = true
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if late {
			return pipeline.Fail(pipeline.Retryable, "%s: %w: it is %s", b.gpu, errAway, status.Describe())
		}
	}
}

// Show sets what people see of the GPU.
func (b *breaker) Show(state pipeline.GPUState, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state, b.detail = state, detail
}

// State returns what people see of the GPU.
func (b *breaker) State() (state pipeline.GPUState, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if why := b.held(); why != "" && !b.suspended && b.state != pipeline.GPUStopped {
		return pipeline.GPUHeld, why
	}
	return b.state, b.detail
}
