package consumer

import (
	"sync"
	"time"
)

// An observation is what a GPU did in some time.
type observation struct {
	wall    time.Duration // the time
	full    time.Duration // of it, while exactly as many slots were busy as may be
	tokens  int           // that came in the full time
	answers int           // that ended in it
	failed  bool          // a request failed meanwhile, so the figures say nothing of the GPU's speed
}

// A meter observes a GPU. Only what happens while all slots are really taken counts: otherwise an
// empty queue would look like a slow GPU.
type meter struct {
	mu    sync.Mutex
	full  bool
	since time.Time // when it was last brought up to date
	begun time.Time // of the observation
	seen  observation
}

func newMeter() *meter {
	now := time.Now()
	return &meter{since: now, begun: now}
}

// note tells how many slots are busy now, and how many may be.
func (m *meter) note(busy, slots int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	m.full = busy == slots
}

// tokens counts tokens that have come.
func (m *meter) tokens(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		m.seen.tokens += n
	}
}

// ended counts a request that ended, with an answer or not.
func (m *meter) ended(failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.failed = m.seen.failed || failed
	if m.full {
		m.seen.answers++
	}
}

// take returns what was observed since the last call.
func (m *meter) take() observation {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	seen := m.seen
	seen.wall = m.since.Sub(m.begun)
	m.seen, m.begun = observation{}, m.since
	return seen
}

func (m *meter) advance() {
	now := time.Now()
	if m.full {
		m.seen.full += now.Sub(m.since)
	}
	m.since = now
}
