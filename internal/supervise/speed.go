package supervise

import "time"

const (
	speedWindow = 30 * time.Second // over which the speed is measured
	slowWindows = 4                // in a row, after which a server has fallen to the speed of a CPU
	slowFactor  = 4                // how many times slower that is
)

// A speedMonitor knows how fast a GPU was, by the number of requests at a time. One goroutine uses
// it at a time.
type speedMonitor struct {
	since  time.Time       // when the window began
	chunks int64           // the count at that time
	least  int             // requests in flight during it; -1: not known yet
	best   map[int]float64 // chunks per second, by the least number of requests in flight
	slow   int             // windows in a row
}

// begin begins the first window of a session.
func (m *speedMonitor) begin(now time.Time, chunks int64) {
	m.since, m.chunks, m.least, m.slow = now, chunks, -1, 0
}

// isSlow takes in how many chunks have come and how many requests are in flight, and reports
// whether the GPU has lost most of its speed: for slowWindows in a row it was far slower than it
// had been with the same number of requests or with fewer.
func (m *speedMonitor) isSlow(now time.Time, chunks int64, inFlight int) bool {
	if m.least < 0 || inFlight < m.least {
		m.least = inFlight
	}
	window := now.Sub(m.since)
	if window < speedWindow {
		return false
	}
	rate, least, slow := float64(chunks-m.chunks)/window.Seconds(), m.least, m.slow
	best := 0.0
	for n, r := range m.best {
		if n <= least {
			best = max(best, r)
		}
	}
	m.begin(now, chunks)
	if least == 0 || rate == 0 { // it was idle at some time, or loaded the model all the time
		return false
	}
	if m.best == nil {
		m.best = map[int]float64{}
	}
	m.best[least] = max(m.best[least], rate)
	if slowFactor*rate < best {
		m.slow = slow + 1
	}
	return m.slow >= slowWindows
}
