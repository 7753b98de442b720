package autotune

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	moreSlotsRatio  = 1.02 // more slots have to be this much faster: they make every answer slower
	fewerSlotsRatio = 0.995
	maxComparisons  = 25   // with a number that is hard to tell from the best
	rateChange      = 0.12 // in parts of the rate; twice in a row, and the search is repeated

	probeEvery        = 10 * time.Minute // between two trials of another number while nothing seems to change
	minSearchInterval = 5 * time.Minute  // between two searches, doubled when one found nothing new
	maxSearchInterval = 40 * time.Minute
)

// A tuner finds the number of slots with the most tokens per second, and keeps checking whether it
// is still the best. It only decides: observations go in, the number comes out, and it has no clock
// of its own. See the package comment for its rules.
type tuner struct {
	max       int
	best      int    // the best number so far
	candidate int    // the one in use instead of the best; 0: the best is in use
	compared  int    // the one that was in use before this window of the best; 0: none
	window    window // the present one

	bestRate      float64   // of the last window of the best
	candidateRate float64   // of the candidate's window
	windowError   float64   // relative standard error of that
	noise         float64   // how much the rate of the best changes by itself from window to window, in parts of it
	comparisons   []float64 // the candidate's rates so far, in parts of the best's

	searching   bool
	queue       []int           // candidates of this search that are still to be compared
	ratios      map[int]float64 // rates of the numbers compared in this search, in parts of the best's
	startedFrom int             // the best when the search or the probe began

	steady steady
}

// steady is what is known while no search is under way. Its times count only while all slots are
// busy.
type steady struct {
	sinceSearch    time.Duration
	sinceProbe     time.Duration
	deviations     int           // windows of the best in a row whose rate differs from before
	usualDeviation float64       // how much they differ normally, in parts of the rate
	searchInterval time.Duration // the least time between two searches
	probes         int
}

// newTuner returns a tuner for at most this many slots.
func newTuner(most int) *tuner {
	t := &tuner{max: most, best: min(firstSlots, most), steady: steady{searchInterval: minSearchInterval}}
	t.search()
	return t
}

// slots returns the number to use now.
func (t *tuner) slots() int {
	if t.candidate != 0 {
		return t.candidate
	}
	return t.best
}

// settled reports whether no comparison is under way.
func (t *tuner) settled() bool { return !t.searching && t.candidate == 0 && t.compared == 0 }

// timesOne returns how many times as fast as one slot the best number is, rounded to tenths, by the
// last search; 0 if one slot was not compared.
func (t *tuner) timesOne() float64 {
	if t.ratios[1] <= 0 {
		return 0
	}
	return math.Round(10*t.ratios[t.best]/t.ratios[1]) / 10
}

// describe returns what the last search compared, for people.
func (t *tuner) describe() string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(t.ratios)) {
		parts = append(parts, fmt.Sprintf("%d: %.0f %%", n, 100*t.ratios[n]))
	}
	return strings.Join(parts, ", ")
}

// observe takes in what the GPU did with the number of slots that slots returned.
func (t *tuner) observe(o Observation) {
	t.window.add(o)
	if o.Failed { // the window starts over, but its wall time stays, so that this comes to an end
		t.window = window{Observation: Observation{Wall: t.window.Wall}}
	}
	switch {
	case t.candidate != 0 && t.window.Wall > idleLimit && t.window.Full < minTime:
		t.ratios[t.candidate] = 0 // there is not enough work to tell
		t.candidate, t.comparisons = 0, nil
		t.window = window{}
		t.next()
	case t.candidate != 0 && t.window.over(t.candidate, t.bestRate):
		t.compared, t.candidateRate, t.candidate = t.candidate, t.window.rate(), 0
		t.windowError = t.window.relativeError()
		t.window = window{}
	case t.candidate == 0 && t.window.over(t.best, t.rival()):
		complete := t.window
		t.window = window{}
		t.conclude(complete)
	}
}

// rival returns the rate with which this window of the best is compared, or 0.
func (t *tuner) rival() float64 {
	if t.compared == 0 {
		return 0
	}
	return t.candidateRate
}

// conclude draws the conclusions from a complete window of the best.
func (t *tuner) conclude(w window) {
	switch rate := w.rate(); {
	case t.compared != 0:
		t.windowError = max(t.windowError, w.relativeError())
		if t.compare(rate) {
			t.next()
		}
	case t.searching:
		t.bestRate = rate
		t.next()
	default:
		t.monitor(w)
	}
}

// compare decides between the best and the candidate that was in use between two windows of it,
// and reports whether that is decided. If they are hard to tell apart, because the rate changes by
// itself, the comparison is repeated. The first comparisons are trusted least, and a mistake that
// costs next to nothing is accepted.
func (t *tuner) compare(after float64) (decided bool) {
	before, n := t.bestRate, t.compared
	mean := (before + after) / 2
	t.compared, t.bestRate = 0, after
	if mean <= 0 {
		return true
	}
	t.comparisons = append(t.comparisons, t.candidateRate/mean)
	t.noise += (max(math.Abs(before-after)/mean, 2*t.windowError) - t.noise) / 4
	count, ratio := float64(len(t.comparisons)), average(t.comparisons)
	uncertainty := max(t.noise, deviation(t.comparisons)) / math.Sqrt(count)
	threshold := fewerSlotsRatio
	if n > t.best {
		threshold = moreSlotsRatio
	}
	if count < maxComparisons && math.Abs(ratio-threshold) < (1+0.5/count)*uncertainty && uncertainty > 1.5*relativeError {
		t.candidate = n
		return false
	}
	t.comparisons, t.ratios[n] = nil, ratio
	if ratio < threshold {
		return true
	}
	for k := range t.ratios {
		t.ratios[k] /= ratio
	}
	t.ratios[t.best], t.ratios[n] = 1/ratio, 1
	t.best, t.bestRate = n, ratio*mean
	return true
}

func average(of []float64) float64 {
	sum := 0.0
	for _, x := range of {
		sum += x
	}
	return sum / float64(len(of))
}

// deviation returns the standard deviation, 0 for a single value.
func deviation(of []float64) float64 {
	mean, sum := average(of), 0.0
	for _, x := range of {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(max(len(of)-1, 1)))
}

// search begins to compare numbers that are far apart.
func (t *tuner) search() {
	t.searching, t.startedFrom = true, t.best
	t.ratios = map[int]float64{t.best: 1}
	t.queue = farApart(t.best, t.max)
}

// next chooses the next candidate, or ends the search.
func (t *tuner) next() {
	if !t.searching { // that was a probe
		if t.best == t.startedFrom {
			return
		}
		t.search()
	}
	for len(t.queue) > 0 {
		n := t.queue[0]
		t.queue = t.queue[1:]
		if _, known := t.ratios[n]; !known {
			t.candidate = n
			return
		}
	}
	if t.candidate = between(t.best, t.max, t.ratios); t.candidate != 0 {
		return
	}
	t.searching = false
	s := &t.steady
	s.sinceSearch, s.sinceProbe, s.deviations = 0, 0, 0
	if t.best == t.startedFrom {
		s.searchInterval = min(2*s.searchInterval, maxSearchInterval)
	} else {
		s.searchInterval = minSearchInterval
	}
}

// monitor checks, while nothing is compared, whether the GPU is as fast as it was, and probes
// another number from time to time.
func (t *tuner) monitor(w window) {
	s, rate := &t.steady, w.rate()
	s.sinceSearch += w.Full
	s.sinceProbe += w.Full
	differs := math.Abs(rate/max(t.bestRate, 1e-9) - 1)
	deviates := differs > max(rateChange, 3*s.usualDeviation)
	s.usualDeviation += (min(differs, rateChange) - s.usualDeviation) / 5
	if deviates {
		s.deviations++
	} else {
		s.deviations = 0
		t.bestRate += (rate - t.bestRate) / 5 // it may drift with the prompts
	}
	switch {
	case s.deviations >= 2 && s.sinceSearch >= s.searchInterval:
		t.bestRate = rate
		t.search()
		t.next()
	case s.deviations == 0 && s.sinceProbe >= probeEvery:
		t.startedFrom, s.sinceProbe = t.best, 0
		t.candidate, s.probes = probe(t.best, t.max, s.probes)
	}
}
