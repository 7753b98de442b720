package consumer

import (
	"context"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

// rateWindow is the time over which tokens per second are counted.
const rateWindow = time.Minute

// A gpu is one GPU with its permits and counters.
type gpu struct {
	GPU
	permits chan struct{} // one for each slot; bounded so that the server never queues

	mu          sync.Mutex
	state       string
	heldUntil   time.Time // no work is taken before: something is wrong that a person has to mend
	busy        int
	generations int
	tokens      int
	cut         bool
	since       time.Time // of the first request
	recent      []sample  // tokens of the last rateWindow, oldest first, at most one for each second
}

// A sample is the tokens of the answers that ended within a second.
type sample struct {
	at     time.Time // of the first of them
	tokens int
}

func newGPU(g GPU) *gpu {
	return &gpu{GPU: g, permits: make(chan struct{}, g.Slots), state: "serving"}
}

// acquire waits for a slot.
func (g *gpu) acquire(ctx context.Context) error {
	select {
	case g.permits <- struct{}{}:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.busy++
		if g.since.IsZero() {
			g.since = time.Now()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gpu) release() {
	g.mu.Lock()
	g.busy--
	g.mu.Unlock()
	<-g.permits
}

// count adds a finished answer.
func (g *gpu) count(tokens int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.generations++
	g.tokens += tokens
	g.recent = g.forget(now)
	if last := len(g.recent) - 1; last >= 0 && now.Sub(g.recent[last].at) < time.Second {
		g.recent[last].tokens += tokens
		return
	}
	g.recent = append(g.recent, sample{now, tokens})
}

// forget returns the recent samples without those that are too old. The caller holds mu.
func (g *gpu) forget(now time.Time) []sample {
	old := 0
	for old < len(g.recent) && now.Sub(g.recent[old].at) > rateWindow {
		old++
	}
	return g.recent[old:]
}

func (g *gpu) snapshot() pipeline.GPU {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.recent = g.forget(now)
	sum := 0
	for _, s := range g.recent {
		sum += s.tokens
	}
	rate := 0.0
	if seconds := min(now.Sub(g.since), rateWindow).Seconds(); len(g.recent) > 0 {
		rate = float64(sum) / max(seconds, 1)
	}
	return pipeline.GPU{
		Name: g.Name, State: g.state, Slots: g.Slots, Busy: g.busy,
		Generations: g.generations, OutputTokens: g.tokens, TokensPerSecond: rate,
	}
}

func (g *gpu) setState(state string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = state
}

func (g *gpu) setCut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = true
}

func (g *gpu) wasCut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cut
}

// hold keeps all workers of the GPU from taking work for a while. It reports whether it was not held already.
func (g *gpu) hold(d time.Duration, why string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !time.Now().Before(g.heldUntil)
	g.heldUntil = time.Now().Add(d)
	g.state = why
	return first
}

// held reports whether no work is to be taken now.
func (g *gpu) held() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Before(g.heldUntil)
}

// ready waits until the GPU is not held, and returns early when ctx ends.
func (g *gpu) ready(ctx context.Context) {
	for {
		g.mu.Lock()
		wait := time.Until(g.heldUntil)
		if wait <= 0 && ctx.Err() == nil {
			g.state = "serving"
		}
		g.mu.Unlock()
		if wait <= 0 || !sleep(ctx, wait) {
			return
		}
	}
}

// sleep waits for d and reports whether ctx was still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
