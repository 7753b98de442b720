package main

import (
	"slices"
	"sync"
	"time"
)

// A trace is when generations began and when they ended.
type trace struct {
	mu           sync.Mutex
	starts, ends []time.Time
}

func (t *trace) started() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.starts = append(t.starts, time.Now())
}

func (t *trace) ended() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends = append(t.ends, time.Now())
}

// last returns when the last generation ended.
func (t *trace) last() time.Time { return slices.MaxFunc(t.ends, time.Time.Compare) }

// idle returns how long slots were idle before their first generation and after their last one,
// both added up over all slots. It assumes that the first generations, and the last ones, each
// had a slot of their own.
func (t *trace) idle(slots int, began time.Time) (before, after time.Duration) {
	last := t.last()
	slices.SortFunc(t.starts, time.Time.Compare)
	slices.SortFunc(t.ends, time.Time.Compare)
	n := min(slots, len(t.starts), len(t.ends))
	for i := range n {
		before += t.starts[i].Sub(began)
		after += last.Sub(t.ends[len(t.ends)-1-i])
	}
	return before, after
}
