package autotune

import (
	"sync"
	"time"
)

// An Observation is what a GPU did within some time.
type Observation struct {
	Wall    time.Duration // the time
	Full    time.Duration // the part of it in which all slots were busy
	Tokens  int           // that came in the full time
	Answers int           // that ended in it
	Failed  bool          // a request failed, so the figures say nothing about the GPU's speed
}

// A SpeedMeter observes a GPU. Only what happens while all slots are busy counts: otherwise an
// empty queue would look like a slow GPU. Its methods may be called by many goroutines.
type SpeedMeter struct {
	mu      sync.Mutex
	full    bool
	updated time.Time // when current was last brought up to date
	began   time.Time // when the observation began
	current Observation
}

// NewSpeedMeter returns a meter whose first observation begins now.
func NewSpeedMeter() *SpeedMeter {
	now := time.Now()
	return &SpeedMeter{updated: now, began: now}
}

// Note records how many slots are busy from now on, and how many there are.
func (m *SpeedMeter) Note(busy, slots int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	m.full = busy == slots
}

// Tokens counts tokens that have come.
func (m *SpeedMeter) Tokens(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		m.current.Tokens += n
	}
}

// Ended counts a request that ended, with an answer or with a failure.
func (m *SpeedMeter) Ended(failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current.Failed = m.current.Failed || failed
	if m.full {
		m.current.Answers++
	}
}

// Take returns the observation since the last call, and begins the next one.
func (m *SpeedMeter) Take() Observation {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	taken := m.current
	taken.Wall = m.updated.Sub(m.began)
	m.current, m.began = Observation{}, m.updated
	return taken
}

// advance counts the time since the last update. The caller holds mu.
func (m *SpeedMeter) advance() {
	now := time.Now()
	if m.full {
		m.current.Full += now.Sub(m.updated)
	}
	m.updated = now
}
