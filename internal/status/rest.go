package status

import (
	"math"
	"time"

	"gleaner/internal/pipeline"
)

// Resting is what consumers have handed back with a delay that is not over.
type Resting struct {
	Batches int     `json:"batches"`
	Seconds float64 `json:"seconds"` // until the first of them is due
	Because string  `json:"because,omitempty"`
}

// restingOf adds up what the consumers report, or returns nil if nothing rests.
func restingOf(consumers []pipeline.Presence) *Resting {
	var all *Resting
	for _, c := range consumers {
		for _, g := range c.GPUs {
			switch {
			case g.Resting == 0:
				continue
			case all == nil:
				all = &Resting{Seconds: g.RestSeconds, Because: g.RestingBecause}
			case g.RestSeconds < all.Seconds:
				all.Seconds, all.Because = g.RestSeconds, g.RestingBecause
			}
			all.Batches += g.Resting
		}
	}
	return all
}

// estimate computes when the run will be complete at the present rate, without what rests: that may
// take any time, or never succeed.
func (s *Snapshot) estimate() {
	s.ETA, s.ETASeconds = 0, 0
	left := s.Generations - s.Stored - s.Failed - s.Dropped
	if s.Resting != nil {
		batches := 0
		for _, n := range s.Batches {
			batches += n
		}
		left -= s.Resting.Batches * s.Generations / max(batches, 1)
	}
	if left <= 0 || s.PerSecond == 0 || s.State.Word != Running {
		return
	}
	s.ETASeconds = float64(left) / s.PerSecond
	s.ETA = time.Duration(min(s.ETASeconds*float64(time.Second), math.MaxInt64/2)) // a Duration ends at 292 years
}
