package consumer

import (
	"slices"
	"sync"
	"time"
)

const (
	maxTimes     = 64   // batches by which the time of the next one is estimated
	timeQuantile = 0.95 // the part of them that took no longer than the estimate
	timeMargin   = 1.1  // by which the estimate is multiplied
)

// batchTimes knows which batches a GPU has in hand and how long the last ones took, and so whether
// another one would end before the deadline.
type batchTimes struct {
	mu       sync.Mutex
	reserved int               // batches that workers ask for, each of which fits beside the others
	started  map[int]time.Time // of the batches in hand
	lastID   int
	recent   []time.Duration // how long batches took, had each had a slot to itself; newest last
	lastDone time.Time       // when a batch was done; at first when there could be one
}

func newBatchTimes() *batchTimes {
	return &batchTimes{started: map[int]time.Time{}, lastDone: time.Now()}
}

// Wake says that there can be batches from now on.
func (b *batchTimes) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastDone = time.Now()
}

// Reserve keeps room for one more batch and reports true, if that would probably end within the
// time that is left, beside those in hand and those that are reserved. The caller then has to call
// Start.
func (b *batchTimes) Reserve(slots int, left time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.estimate(len(b.started)+b.reserved+1, slots) > left {
		return false
	}
	b.reserved++
	return true
}

// Start ends a reservation. It reports true, and counts a batch as in hand, if one came, and not
// so late that it does not fit any more. Then the caller has to call end when the batch is
// released, with whether it is done.
func (b *batchTimes) Start(slots int, left time.Duration, came bool) (end func(done bool), fits bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved--
	if !came || b.estimate(len(b.started)+1, slots) > left {
		return nil, false
	}
	b.lastID++
	id := b.lastID
	b.started[id] = time.Now()
	return func(done bool) { b.end(id, slots, done) }, true
}

func (b *batchTimes) end(id, slots int, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := float64(time.Since(b.started[id])) / slowdown(len(b.started), slots)
	delete(b.started, id)
	if !done { // how long that took says nothing about batches that are done
		return
	}
	b.lastDone = time.Now()
	b.recent = append(b.recent, time.Duration(took))
	if len(b.recent) > maxTimes {
		b.recent = b.recent[1:]
	}
}

// Known reports whether any batch was done.
func (b *batchTimes) Known() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.recent) > 0
}

// Shortest returns how long a batch probably takes that has the GPU to itself.
func (b *batchTimes) Shortest(slots int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.estimate(1, slots)
}

// Idle returns for how long nothing was done: 0 while a batch is in hand, however long it takes.
func (b *batchTimes) Idle() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.started) > 0 {
		return 0
	}
	return time.Since(b.lastDone)
}

// estimate returns how long a batch probably takes that is one of several in hand. It is 0 as long
// as nothing is known about that. A batch that takes longer than any before says that the next one
// may, too. The caller holds mu.
func (b *batchTimes) estimate(batches, slots int) time.Duration {
	likely := 0.0
	if n := len(b.recent); n > 0 {
		sorted := slices.Sorted(slices.Values(b.recent))
		likely = float64(sorted[min(int(timeQuantile*float64(n)), n-1)])
	}
	now := time.Now()
	for _, started := range b.started {
		likely = max(likely, float64(now.Sub(started))/slowdown(len(b.started), slots))
	}
	return time.Duration(timeMargin * likely * slowdown(batches, slots))
}

// slowdown is how much longer a batch takes where there are fewer slots than batches.
func slowdown(batches, slots int) float64 { return max(1, float64(batches)/float64(max(slots, 1))) }
