package autotune

import (
	"math"
	"time"
)

// How long a number of slots is in use. Only the time in which all of them are busy counts; the
// package comment has the rule as formulas.
const (
	sliceTime     = 2 * time.Second  // the rate is taken in slices, whose spread gives its standard error
	earlyTime     = 4 * time.Second  // enough to see that a number is far behind
	minTime       = 8 * time.Second  // else; and two answers per slot, so that prompts and answers have their share
	maxTime       = 30 * time.Second // unless fewer answers than half the slots have come
	hardLimit     = 5 * maxTime      // in any case
	idleLimit     = 10 * time.Minute // of wall time, after which a number that lacked work is dropped
	relativeError = 0.015            // a rate with a smaller standard error, in parts of it, is known well enough
	farBehind     = 0.85             // in parts of the rate that it is compared with
)

// A window is what was observed while one number of slots was in use.
type window struct {
	Observation
	slice Observation // the one that is not complete yet

	slices  int
	mean    float64 // of the slices' tokens per second
	squares float64 // the sum of their squared distances to the mean
}

// add takes in an observation. It updates the mean and the squares by Welford's method.
func (w *window) add(o Observation) {
	w.Wall += o.Wall
	w.Full += o.Full
	w.Tokens += o.Tokens
	w.Answers += o.Answers
	w.slice.Full += o.Full
	w.slice.Tokens += o.Tokens
	if w.slice.Full < sliceTime {
		return
	}
	rate := float64(w.slice.Tokens) / w.slice.Full.Seconds()
	w.slices++
	distance := rate - w.mean
	w.mean += distance / float64(w.slices)
	w.squares += distance * (rate - w.mean)
	w.slice = Observation{}
}

// rate returns tokens per second.
func (w *window) rate() float64 {
	if w.Full <= 0 {
		return 0
	}
	return float64(w.Tokens) / w.Full.Seconds()
}

// standardError returns that of the rate, or infinity while there are too few slices to tell.
func (w *window) standardError() float64 {
	if w.slices < 3 {
		return math.Inf(1)
	}
	n := float64(w.slices)
	return math.Sqrt(w.squares / (n - 1) / n)
}

// relativeError returns the standard error in parts of the rate.
func (w *window) relativeError() float64 { return w.standardError() / max(w.rate(), 1e-9) }

// over reports whether enough is known about these slots, compared with another number that has
// this rate (0: there is none).
func (w *window) over(slots int, other float64) bool {
	switch {
	case w.Full < earlyTime || w.Answers == 0:
		return w.Full >= hardLimit
	case w.Answers >= slots && w.rate()+3*w.standardError() < farBehind*other:
		return true
	case w.Full >= maxTime && 2*w.Answers >= slots || w.Full >= hardLimit:
		return true
	}
	if w.Full < minTime || w.Answers < 2*slots {
		return false
	}
	isClear := other > 0 && w.Full >= 2*minTime &&
		math.Abs(w.rate()-other) > 3*w.standardError()+2*relativeError*other
	return isClear || w.standardError() <= relativeError*w.rate()
}
