package consumer

import (
	"context"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// rateWindow is the time over which tokens per second are counted.
const rateWindow = time.Minute

// A gpu is one GPU with its permits and counters.
type lane struct {
	LaneConfig
	log        *zap.Logger
	supervisor *supervise.Supervisor // of the server, if the consumer runs it itself
	rest       time.Duration         // before it is looked whether somebody has mended it
	permits    *gate                 // lets as many generations in as there are slots, so that the server never queues
	hands      *gate                 // lets so many workers take batches that the slots stay full
	meter      *autotune.SpeedMeter
	pace       *pace
	careful    bool // until it is known how long batches take, no worker has one that has to wait for a slot

	mu          sync.Mutex
	most        int // generations at a time that its server can do at present
	wanted      int // how many of them to use, if there are so many
	state       pipeline.GPUState
	detail      string // of the state, for people
	crashes     int    // of the runner, as far as they were seen
	hold        hold
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

func newLane(g LaneConfig, rest time.Duration, log *zap.Logger) *lane {
	meter := autotune.NewSpeedMeter()
	return &lane{
		LaneConfig: g, rest: rest, log: log.With(zap.String("gpu", g.Name)), meter: meter, pace: newPace(),
		permits: &gate{limit: g.Slots, notice: meter.Note}, hands: &gate{limit: g.Slots + spareHands},
		most: g.Slots, wanted: g.Slots, state: pipeline.GPUServing, hold: hold{changed: make(chan struct{})},
	}
}

// spareHands is how many workers more than slots have a batch: while some publish or fetch, the
// slots still have somebody to fill them.
const spareHands = 2

// allow sets both gates for the slots in force. The caller holds mu.
func (g *lane) allow() {
	slots := min(g.wanted, g.most)
	g.permits.allow(slots)
	if g.careful && !g.pace.known() {
		g.hands.allow(slots)
	} else {
		g.hands.allow(slots + spareHands)
	}
}

// ask keeps a place for a batch that ends by then, if it fits. Who has one has to call begin.
func (g *lane) ask(by time.Time) bool {
	_, slots := g.permits.load()
	return g.pace.ask(slots, until(by))
}

// begin gives up a place: if a batch came for it, and still fits, that is noted until the
// returned function is called, with whether it is done.
func (g *lane) begin(by time.Time, came bool) (end func(done bool), fits bool) {
	_, slots := g.permits.load()
	ended, fits := g.pace.begin(slots, until(by), came)
	return func(done bool) {
		ended(done)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.allow()
	}, fits
}

// until returns how long it is until then; zero is never.
func until(then time.Time) time.Duration {
	if then.IsZero() {
		return math.MaxInt64
	}
	return time.Until(then)
}

// count adds a finished answer.
func (g *lane) count(tokens int) {
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
func (g *lane) forget(now time.Time) []sample {
	old := 0
	for old < len(g.recent) && now.Sub(g.recent[old].at) > rateWindow {
		old++
	}
	return g.recent[old:]
}

func (g *lane) snapshot() pipeline.GPUStatus {
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
	busy, slots := g.permits.load()
	return pipeline.GPUStatus{
		Name: g.Name, State: g.state, Detail: g.detail, Slots: slots, Busy: busy,
		Generations: g.generations, OutputTokens: g.tokens, TokensPerSecond: rate,
	}
}

func (g *lane) setState(state pipeline.GPUState, detail string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.detail = state, detail
}

func (g *lane) setCut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = true
}

func (g *lane) wasCut() bool {
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
