package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// rateWindow is the time over which tokens per second are counted.
const rateWindow = time.Minute

// A gpu is one GPU with its permits and counters.
type gpu struct {
	GPU
	log     *zap.Logger
	keeper  *keeper       // of the server, if the consumer runs it itself
	rest    time.Duration // before it is looked whether somebody has mended it
	permits chan struct{} // one for each slot; bounded so that the server never queues
	turn    chan struct{} // held by the one who collects all permits

	mu          sync.Mutex
	state       string
	crashes     int // of the runner, as far as they were seen
	hold        hold
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

func newGPU(g GPU, rest time.Duration, log *zap.Logger) *gpu {
	return &gpu{
		GPU: g, rest: rest, log: log.With(zap.String("gpu", g.Name)),
		permits: make(chan struct{}, g.Slots), turn: make(chan struct{}, 1), state: serving, hold: hold{changed: make(chan struct{})},
	}
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
