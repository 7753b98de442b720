package consumer

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
)

// An attempt is one request to a GPU's model, and what came of it.
type attempt struct {
	completion pipeline.Completion
	err        error
	sent       time.Time     // zero: it was not, and says nothing about the generation
	took       time.Duration // while the model worked on it
	crashes    int           // of the runner, as far as they were known when it began
	probe      bool          // the breaker was half open when it began, so its success resets the breaker
}

// A requester makes attempts on one GPU. It holds a slot only while the model works. Workers share
// it.
type requester struct {
	backend  Generator
	slots    *limiter // as many as the server can do at a time, so that the server never queues
	breaker  *breaker
	meter    *autotune.SpeedMeter
	record   *record
	inflight inflight
	recovery recovery
	evidence evidence
	busy     busyWait
	schemas  schemaCheck
	// generations returns how many the run has; 0: not known.
	generations func() int

	mu    sync.Mutex
	began time.Time        // the first attempt
	last  pipeline.Request // which a word repeats, with another prompt
	hangs func(why error)  // called when the server stalls; nil: the server is not the consumer's own
}

// newRequester returns one with the patience and the log of a config. Backend is nil as long as
// there is no server.
func newRequester(backend Generator, cfg Config, slots *limiter, breaker *breaker, meter *autotune.SpeedMeter, record *record, generations func() int) *requester {
	r := &requester{slots: slots, breaker: breaker, meter: meter, record: record, generations: generations}
	r.inflight.firstToken, r.inflight.stall = cmp.Or(cfg.FirstToken, pipeline.DefaultFirstToken), cmp.Or(cfg.Stall, pipeline.DefaultStall)
	r.inflight.slots = func() int {
		_, limit := slots.InUse()
		return limit
	}
	r.inflight.log, r.busy.log = cfg.Log, cfg.Log
	r.recovery.word = r.word
	r.use(backend)
	return r
}

// use sets what answers. If it can be asked whether the model is loaded, people see that it is not.
func (r *requester) use(backend Generator) {
	r.backend = backend
	server, ok := backend.(interface {
		Loaded(ctx context.Context, model string) (pipeline.ModelInfo, error)
	})
	if !ok {
		return
	}
	r.inflight.isLoaded = func(ctx context.Context) bool {
		r.mu.Lock()
		model := r.last.Model
		r.mu.Unlock()
		_, err := server.Loaded(ctx, model)
		return err == nil
	}
}

// Attempt asks the model once, in a slot, or alone: while nothing else runs on this GPU.
func (r *requester) Attempt(ctx context.Context, request pipeline.Request, alone bool) (a attempt) {
	return r.attempt(ctx, request, alone, func() error { return nil })
}

// attempt does that unless it is not wanted any more when its turn comes.
func (r *requester) attempt(ctx context.Context, request pipeline.Request, alone bool, wanted func() error) (a attempt) {
	for {
		a = attempt{} // one that was kept back was not sent
		if a.err = r.ready(ctx); a.err != nil {
			return a
		}
		if a.err = r.acquire(ctx, alone); a.err != nil {
			return a
		}
		if a.err = wanted(); a.err != nil {
			r.slots.Release()
			return a
		}
		r.begin(request)
		a = r.send(ctx, request, sending{suspect: alone, keptBack: func() bool { return r.recovery.Pending() || r.busy.Left() > 0 }})
		r.slots.Release()
		if !errors.Is(a.err, errKeptBack) {
			return a
		}
	}
}

// errKeptBack says that the server crashed, stalled or asked to wait while a request waited for its
// turn.
var errKeptBack = errors.New("the request was kept back")

// A sending is how a request is sent.
type sending struct {
	suspect  bool        // it belongs to a suspect, which runs alone
	keptBack func() bool // asked when the request is known to be in flight; nil: it is sent in any case
}

// ready waits until the server can be asked.
func (r *requester) ready(ctx context.Context) error {
	if err := r.breaker.AwaitServer(ctx); err != nil {
		return err
	}
	if err := r.recovery.Await(ctx); err != nil {
		return err
	}
	return r.busy.Await(ctx)
}

func (r *requester) acquire(ctx context.Context, alone bool) error {
	if alone {
		return r.slots.AcquireAlone(ctx)
	}
	return r.slots.Acquire(ctx)
}

// send has the model answer, and takes in what that shows of its server.
func (r *requester) send(ctx context.Context, request pipeline.Request, how sending) (a attempt) {
	a.probe = r.breaker.Probing()
	a.crashes, a.sent = r.evidence.begin(), time.Now()
	a.completion, a.err = r.measured(ctx, request, how)
	a.took = time.Since(a.sent)
	if a.err != nil && ctx.Err() != nil || errors.Is(a.err, errKeptBack) { // it was cut, or not sent
		return a
	}
	r.busy.Observe(a.err)
	if r.evidence.end(a, how.suspect, r.inflight.InFlight()) {
		r.recovery.Begin()
	}
	return a
}

// word asks the model for a word, alone, to see whether the server is there again.
func (r *requester) word(ctx context.Context) error {
	if err := r.breaker.AwaitServer(ctx); err != nil {
		return err
	}
	if err := r.busy.Await(ctx); err != nil {
		return err
	}
	if err := r.slots.AcquireAlone(ctx); err != nil {
		return err
	}
	defer r.slots.Release()
	r.mu.Lock()
	request := r.last
	r.mu.Unlock()
	return r.send(ctx, withoutSchema(request).Asking(pipeline.CanaryPrompt, 1), sending{}).err
}

// begin remembers the request, and when the first one began.
func (r *requester) begin(request pipeline.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = request
	if r.began.IsZero() {
		r.began = time.Now()
	}
}

// since returns when the first attempt began, or zero.
func (r *requester) since() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began
}

// measured has the model answer, while its tokens are counted as they come. Those that the model
// does not report meanwhile count at the end.
func (r *requester) measured(ctx context.Context, request pipeline.Request, how sending) (pipeline.Completion, error) {
	open, sent := r.inflight.Begin(ctx, request.PromptBytes())
	if how.keptBack != nil && how.keptBack() { // what is in flight when all are cancelled is cancelled as well, and what comes later is kept back
		return pipeline.Completion{}, r.inflight.End(open, sent, errKeptBack)
	}
	request.OnTokens = func(n int) {
		r.inflight.Tokens(sent, n)
		r.meter.Tokens(n)
	}
	completion, err := r.backend.Generate(open, request)
	if err = r.inflight.End(open, sent, err); err == nil {
		r.meter.Tokens(completion.OutputTokens - int(sent.tokens.Load()))
	}
	r.meter.Ended(!answered(err))
	return completion, err
}

// watch looks after the requests in flight until ctx ends.
func (r *requester) watch(ctx context.Context) {
	r.inflight.Watch(ctx, func(why error, cancel func()) {
		r.recovery.Begin() // first, so that the server has no request for a moment: then it notices that its runner hangs
		cancel()
		if r.hangs != nil {
			r.hangs(why)
		}
	})
}

// Says returns what people see of a GPU that serves and waits for something, or nothing.
func (r *requester) Says() string {
	if said := r.busy.Says(); said != "" {
		return said
	}
	return r.inflight.Says()
}
