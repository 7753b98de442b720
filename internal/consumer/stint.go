package consumer

import (
	"math"
	"time"
)

// How long a number of slots is tried. Times count only while all of them are busy.
const (
	slice      = 2 * time.Second  // the speed is taken in slices, whose differences tell how sure it is
	briefly    = 4 * time.Second  // enough for a number that is far behind
	atLeast    = 8 * time.Second  // else; and two answers of each slot, so that prompts and answers have their share
	atMost     = 30 * time.Second // unless not even one answer of every second slot came
	givenUp    = 5 * atMost       // in any case
	unoccupied = 10 * time.Minute // after which a number is given up that was not once in full use for long enough
	sure       = 0.015            // standard error of the speed, in parts of it
	farBehind  = 0.85             // in parts of the speed that it is compared with
)

// A stint is the use of a number of slots for a while.
type stint struct {
	observation
	part observation // the slice that is not complete

	slices     int
	mean, sums float64 // of the slices' tokens a second, and of the squares of their distances to it
}

// add takes in what was observed.
func (s *stint) add(o observation) {
	s.wall += o.wall
	s.full += o.full
	s.tokens += o.tokens
	s.answers += o.answers
	s.part.full += o.full
	s.part.tokens += o.tokens
	if s.part.full < slice {
		return
	}
	rate := float64(s.part.tokens) / s.part.full.Seconds()
	s.slices++
	distance := rate - s.mean
	s.mean += distance / float64(s.slices)
	s.sums += distance * (rate - s.mean)
	s.part = observation{}
}

// rate returns tokens a second.
func (s *stint) rate() float64 {
	if s.full <= 0 {
		return 0
	}
	return float64(s.tokens) / s.full.Seconds()
}

// doubt returns the standard error of the rate, without a limit as long as it can only be guessed.
func (s *stint) doubt() float64 {
	if s.slices < 3 {
		return math.Inf(1)
	}
	n := float64(s.slices)
	return math.Sqrt(s.sums / (n - 1) / n)
}

// uncertain returns the doubt in parts of the rate.
func (s *stint) uncertain() float64 { return s.doubt() / max(s.rate(), 1e-9) }

// over reports whether enough is known of these slots, when another number has this rate (0:
// there is no other).
func (s *stint) over(slots int, other float64) bool {
	switch {
	case s.full < briefly || s.answers == 0:
		return s.full >= givenUp
	case s.answers >= slots && s.rate()+3*s.doubt() < farBehind*other:
		return true
	case s.full >= atMost && 2*s.answers >= slots || s.full >= givenUp:
		return true
	}
	if s.full < atLeast || s.answers < 2*slots {
		return false
	}
	clear := other > 0 && s.full >= 2*atLeast && math.Abs(s.rate()-other) > 3*s.doubt()+2*sure*other
	return clear || s.doubt() <= sure*s.rate()
}
