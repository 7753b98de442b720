package consumer

import (
	"sync"
	"time"
)

// rateWindow is the time over which tokens per second are counted.
const rateWindow = time.Minute

// throughput counts the answers of one GPU.
type throughput struct {
	mu          sync.Mutex
	generations int
	tokens      int
	recent      []sample // tokens of the last rateWindow, oldest first, at most one for each second
}

// A sample is the tokens of the answers that ended within a second.
type sample struct {
	at     time.Time // of the first of them
	tokens int
}

// Add counts a finished answer.
func (t *throughput) Add(tokens int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.generations++
	t.tokens += tokens
	t.forget(now)
	if last := len(t.recent) - 1; last >= 0 && now.Sub(t.recent[last].at) < time.Second {
		t.recent[last].tokens += tokens
		return
	}
	t.recent = append(t.recent, sample{now, tokens})
}

// Totals returns how many answers there were, and how many tokens in them.
func (t *throughput) Totals() (generations, tokens int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.generations, t.tokens
}

// PerSecond returns the tokens per second of the last rateWindow, or of the time since the GPU
// began, if that is shorter. A busy GPU of which no answer has ended in it, because its answers
// take so long, has those of all its work so far.
func (t *throughput) PerSecond(began time.Time, busy bool) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.forget(now)
	if len(t.recent) == 0 && busy && !began.IsZero() {
		return float64(t.tokens) / max(now.Sub(began).Seconds(), 1)
	}
	if len(t.recent) == 0 {
		return 0
	}
	sum := 0
	for _, s := range t.recent {
		sum += s.tokens
	}
	return float64(sum) / max(min(now.Sub(began), rateWindow).Seconds(), 1)
}

// forget drops the samples that are too old. The caller holds mu.
func (t *throughput) forget(now time.Time) {
	old := 0
	for old < len(t.recent) && now.Sub(t.recent[old].at) > rateWindow {
		old++
	}
	t.recent = t.recent[old:]
}
