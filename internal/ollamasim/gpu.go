package ollamasim

import (
	"container/heap"
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// A GPU is a number of slots that generate tokens at the same speed, which depends on how
// many of them are busy. Where no slot is free, requests wait in order of arrival. It knows nothing
// of HTTP, so that benchmarks can use it alone.
//
// It keeps one clock that counts tokens instead of seconds: at any moment all busy slots have the
// same speed, so a generation of n tokens that begins when the clock stands at c ends when it
// stands at c+n, no matter how many others begin and end in between. One timer wakes the generation
// that is due next.
type GPU struct {
	slots int
	rate  func(busy int) float64

	mu      sync.Mutex
	tokens  float64   // the clock
	at      time.Time // when the clock stood there
	busy    int
	waiting []chan struct{} // for a slot; closed when it is theirs
	sleep   sleepers
	timer   *time.Timer
	closed  bool
	used    time.Duration // slot time: the sum over the slots of how long each was busy
}

// ErrClosed is the error of everything that waits for a GPU after Close.
var ErrClosed = errors.New("the GPU is closed")

// NewGPU returns a simulated GPU. Rate says how many tokens a second each slot makes while this
// many of them are busy; a rate that is infinite or not positive means that tokens take no time.
func NewGPU(slots int, rate func(busy int) float64) *GPU {
	return &GPU{slots: max(slots, 1), rate: rate, at: time.Now()}
}

// Run occupies a slot for as long as this number of tokens takes. The error is that of ctx, or
// ErrClosed.
func (g *GPU) Run(ctx context.Context, tokens int) error {
	s, err := g.Acquire(ctx)
	if err != nil {
		return err
	}
	defer s.Release()
	return s.Wait(ctx, tokens)
}

// Load returns how many slots are busy and how many generations wait for one.
func (g *GPU) Load() (busy, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy, len(g.waiting)
}

// SlotTime returns for how long slots were busy, added up: divided by the slots and by the time
// that has passed, it is the use of the GPU.
func (g *GPU) SlotTime() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	return g.used
}

// Close ends all waiting, now and in future, with ErrClosed.
func (g *GPU) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	for _, w := range g.waiting {
		close(w)
	}
	g.waiting = nil
	for _, s := range g.sleep {
		s.index = -1
		close(s.wake)
	}
	g.sleep = nil
	if g.timer != nil {
		g.timer.Stop()
	}
}

// A Slot is a slot of a GPU in use. One goroutine uses it and releases it.
type Slot struct {
	gpu   *GPU
	start float64 // where the GPU's clock stood when the slot was taken
}

// Acquire waits for a slot.
func (g *GPU) Acquire(ctx context.Context) (*Slot, error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, ErrClosed
	}
	if g.busy < g.slots && len(g.waiting) == 0 {
		g.setBusy(g.busy + 1)
		s := &Slot{gpu: g, start: g.tokens}
		g.mu.Unlock()
		return s, nil
	}
	mine := make(chan struct{})
	g.waiting = append(g.waiting, mine)
	g.mu.Unlock()

	select {
	case <-mine:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, ErrClosed
	}
	for i, w := range g.waiting {
		if w == mine { // still in the queue: only ctx can have ended the wait
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return nil, ctx.Err()
		}
	}
	g.advance()
	s := &Slot{gpu: g, start: g.tokens}
	if ctx.Err() != nil { // it came too late: the next one gets it
		g.release()
		return nil, ctx.Err()
	}
	return s, nil
}

// Release gives the slot to the request that has waited longest.
func (s *Slot) Release() {
	s.gpu.mu.Lock()
	defer s.gpu.mu.Unlock()
	s.gpu.release()
}

// Soon returns how many tokens the slot makes in a time at the present speed.
func (s *Slot) Soon(d time.Duration) int {
	g := s.gpu
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.instant() {
		return math.MaxInt32
	}
	return int(min(g.rate(g.busy)*d.Seconds(), math.MaxInt32))
}

// Wait blocks until the slot has made this number of tokens since it was taken.
func (s *Slot) Wait(ctx context.Context, tokens int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g := s.gpu
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	g.advance()
	due := s.start + float64(tokens)
	if g.instant() || g.tokens+epsilon >= due {
		g.mu.Unlock()
		return nil
	}
	me := &sleeper{due: due, wake: make(chan struct{})}
	heap.Push(&g.sleep, me)
	g.schedule()
	g.mu.Unlock()

	select {
	case <-me.wake:
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.closed {
			return ErrClosed
		}
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if me.index >= 0 && me.index < len(g.sleep) && g.sleep[me.index] == me {
			heap.Remove(&g.sleep, me.index)
		}
		return ctx.Err()
	}
}

// epsilon is a fraction of a token: the clock is a sum of many small steps and may stop just short
// of a whole one.
const epsilon = 1e-6

// The methods below are called with the mutex held.

func (g *GPU) instant() bool {
	r := g.rate(max(g.busy, 1))
	return r <= 0 || math.IsInf(r, 1)
}

// advance brings the clock up to now.
func (g *GPU) advance() {
	now := time.Now()
	elapsed := now.Sub(g.at)
	g.at = now
	g.used += time.Duration(g.busy) * elapsed
	if g.busy > 0 && !g.instant() {
		g.tokens += g.rate(g.busy) * elapsed.Seconds()
	}
}

func (g *GPU) setBusy(busy int) {
	g.advance()
	g.busy = busy
	g.schedule()
}

// release passes a slot on, or frees it.
func (g *GPU) release() {
	if len(g.waiting) > 0 {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		return
	}
	g.setBusy(g.busy - 1)
}

// schedule sets the timer to when the next sleeper is due at the present speed.
func (g *GPU) schedule() {
	if g.closed || len(g.sleep) == 0 {
		return
	}
	wait := time.Duration((g.sleep[0].due-g.tokens)/g.rate(max(g.busy, 1))*float64(time.Second)) + time.Microsecond
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, g.tick)
	} else {
		g.timer.Reset(wait)
	}
}

// tick wakes all sleepers that are due.
func (g *GPU) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance()
	for len(g.sleep) > 0 && g.sleep[0].due <= g.tokens+epsilon {
		s := heap.Pop(&g.sleep).(*sleeper)
		close(s.wake)
	}
	g.schedule()
}

// A sleeper waits for the clock to come to where it is due.
type sleeper struct {
	due   float64
	wake  chan struct{}
	index int // in the heap
}

// sleepers is a heap with the next one due on top.
type sleepers []*sleeper

func (h sleepers) Len() int           { return len(h) }
func (h sleepers) Less(i, j int) bool { return h[i].due < h[j].due }
func (h sleepers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap only.
func (h *sleepers) Push(x any) {
	s := x.(*sleeper)
	s.index = len(*h)
	*h = append(*h, s)
}

// Pop is for container/heap only.
func (h *sleepers) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.index = -1
	return s
}
