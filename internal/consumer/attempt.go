package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gleaner/internal/autotune"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// crashPause is how long a GPU is kept to itself after its runner crashed with a request alone.
const crashPause = time.Second

// An attempt is one request to a GPU's model, and what came of it.
type attempt struct {
	completion pipeline.Completion
	err        error
	crashes    int  // of the runner, as far as they were known when it began
	probe      bool // the breaker was half open when it began, so its success resets the breaker
}

// A requester makes attempts on one GPU. It holds a slot only while the model works. Workers share
// it.
type requester struct {
	backend Generator
	slots   *limiter // as many as the server can do at a time, so that the server never queues
	breaker *breaker
	meter   *autotune.SpeedMeter
	record  *record

	mu      sync.Mutex
	crashes int       // of the runner, as far as they were seen
	began   time.Time // the first attempt
}

// Attempt asks the model once, in a slot, or alone: while nothing else runs on this GPU.
func (r *requester) Attempt(ctx context.Context, request pipeline.Request, alone bool) (a attempt) {
	if a.err = r.breaker.AwaitServer(ctx); a.err != nil {
		return a
	}
	acquire := r.slots.Acquire
	if alone {
		acquire = r.slots.AcquireAlone
	}
	if a.err = acquire(ctx); a.err != nil {
		return a
	}
	defer r.slots.Release()
	a.crashes, a.probe = r.begin(), r.breaker.Probing()
	a.completion, a.err = r.measured(ctx, request)
	if errors.Is(a.err, pipeline.ErrRunnerCrashed) {
		r.mu.Lock()
		r.crashes++
		r.mu.Unlock()
		if alone {
			outage.Sleep(ctx, outage.Jitter(crashPause)) // so that nothing else meets the runner while it dies
		}
	}
	return a
}

// begin returns how often the runner has crashed so far.
func (r *requester) begin() (crashes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began = time.Now()
	}
	return r.crashes
}

// crashedSince reports whether the runner crashed after an attempt had begun: if that was in
// flight then, it may be the reason.
func (r *requester) crashedSince(a attempt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crashes != a.crashes
}

// since returns when the first attempt began, or zero.
func (r *requester) since() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began
}

// measured has the model answer, while the meter counts its tokens as they come. Those that the
// model does not report meanwhile count at the end.
func (r *requester) measured(ctx context.Context, request pipeline.Request) (pipeline.Completion, error) {
	var reported atomic.Int64
	request.OnTokens = func(n int) {
		reported.Add(int64(n))
		r.meter.Tokens(n)
	}
	completion, err := r.backend.Generate(ctx, request)
	if err == nil {
		r.meter.Tokens(completion.OutputTokens - int(reported.Load()))
	}
	r.meter.Ended(!answered(err))
	return completion, err
}
