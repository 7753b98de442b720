package consumer

import (
	"slices"
	"sync"
	"time"
)

const (
	remembered = 64   // batches by which it is judged how long the next one takes
	usual      = 0.95 // the part of them that took no longer than what is reckoned with
	allowance  = 1.1  // what is added to that
)

// A pace knows which batches a GPU has and how long they take.
type pace struct {
	mu     sync.Mutex
	held   map[int]time.Time // since when
	number int
	recent []time.Duration // how long batches took when each had a slot to itself, newest last
	last   time.Time       // when a batch was done
}

// wake says that there can be batches from now on.
func (p *pace) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

func newPace() *pace { return &pace{held: map[int]time.Time{}, last: time.Now()} }

// begin notes that a batch is taken. The returned function notes that it is released, done or not.
func (p *pace) begin(slots int) (end func(done bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number++
	id := p.number
	p.held[id] = time.Now()
	return func(done bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		took := float64(time.Since(p.held[id])) / share(len(p.held), slots)
		delete(p.held, id)
		if !done { // how long that took says nothing of those that are
			return
		}
		p.last = time.Now()
		p.recent = append(p.recent, time.Duration(took))
		if len(p.recent) > remembered {
			p.recent = p.recent[1:]
		}
	}
}

// share is how much longer a batch takes because there are fewer slots than batches.
func share(batches, slots int) float64 { return max(1, float64(batches)/float64(max(slots, 1))) }

// known reports whether any batch was done.
func (p *pace) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.recent) > 0
}

// need returns how long one more batch probably takes, if it is the only one or beside those that are held. It is 0
// as long as nothing is known of that. A batch that takes longer than any before says that the next one may, too.
func (p *pace) need(beside bool, slots int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	likely := 0.0
	if n := len(p.recent); n > 0 {
		sorted := slices.Sorted(slices.Values(p.recent))
		likely = float64(sorted[min(int(usual*float64(n)), n-1)])
	}
	now := time.Now()
	for _, since := range p.held {
		likely = max(likely, float64(now.Sub(since))/share(len(p.held), slots))
	}
	if beside {
		likely *= share(len(p.held)+1, slots)
	}
	return time.Duration(allowance * likely)
}

// idle returns for how long nothing was done: 0 while there is a batch, however long it takes.
func (p *pace) idle() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) > 0 {
		return 0
	}
	return time.Since(p.last)
}
