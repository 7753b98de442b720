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
	asked  int               // batches that workers ask for, each of which fits beside the others
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

// ask keeps a place for one more batch and reports true, if that would probably end within the
// time that is left, beside those that are held and those that others ask for.
func (p *pace) ask(slots int, left time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.need(len(p.held)+p.asked+1, slots) > left {
		return false
	}
	p.asked++
	return true
}

// begin gives up a place. It reports true, and notes that a batch is taken, if one came, and not
// so late that it does not fit any more. The returned function notes that it is released, done or
// not.
func (p *pace) begin(slots int, left time.Duration, came bool) (end func(done bool), fits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked--
	if !came || p.need(len(p.held)+1, slots) > left {
		return nil, false
	}
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
	}, true
}

// share is how much longer a batch takes because there are fewer slots than batches.
func share(batches, slots int) float64 { return max(1, float64(batches)/float64(max(slots, 1))) }

// known reports whether any batch was done.
func (p *pace) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.recent) > 0
}

// shortest returns how long a batch probably takes that has the GPU to itself.
func (p *pace) shortest(slots int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.need(1, slots)
}

// need returns how long a batch probably takes that is one of so many. It is 0 as long as nothing
// is known of that. A batch that takes longer than any before says that the next one may, too.
// The caller holds mu.
func (p *pace) need(batches, slots int) time.Duration {
	likely := 0.0
	if n := len(p.recent); n > 0 {
		sorted := slices.Sorted(slices.Values(p.recent))
		likely = float64(sorted[min(int(usual*float64(n)), n-1)])
	}
	now := time.Now()
	for _, since := range p.held {
		likely = max(likely, float64(now.Sub(since))/share(len(p.held), slots))
	}
	return time.Duration(allowance * likely * share(batches, slots))
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
