package consumer

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	firstSlots = 8    // what a tuner begins with: not far from the best on most GPUs
	worthIt    = 1.02 // more slots have to be so much faster: they make every answer slower
	asGood     = 0.995
	changed    = 0.12 // of the speed, twice in a row, and everything is tried anew
	mostBouts  = 25   // with a number that is hard to tell from the best

	probeEvery  = 10 * time.Minute // between two looks at other numbers while nothing seems to change
	minPatience = 5 * time.Minute  // between two searches, doubled when one found nothing new
	maxPatience = 40 * time.Minute
)

// A tuner finds the number of slots with the most tokens a second while the GPU works, and keeps
// looking whether it is still the best. It only decides: observations go in, the number comes
// out, and it has no clock of its own.
//
// It compares two numbers at a time: the best so far, the other, the best again. What changes by
// itself meanwhile, as the length of prompts or another program on the machine, changes both uses
// of the best and is not taken for an effect of the number. It begins with numbers far apart and
// ends with neighbours of the best.
type tuner struct {
	max   int
	best  int   // the best number so far
	other int   // that is tried now; 0: the best is in use
	tried int   // that was tried before this use of the best; 0: none
	as    stint // the use at present

	bestRate  float64 // of the best's last use
	triedRate float64
	doubt     float64   // standard error of that, in parts of it
	noise     float64   // by how much the best's speed changes by itself from use to use, in parts of it
	bouts     []float64 // speed of the number that is tried in its uses so far, in parts of the best's

	searching bool
	plan      []int           // what is still to be tried
	ratios    map[int]float64 // speed of what was tried in this search, in parts of the best's
	began     int             // best when the search began

	// While nothing is searched for:
	quiet    time.Duration // since the last search
	unlooked time.Duration // since the last look at another number
	strange  int           // uses of the best in a row that differ from before
	unrest   float64       // by how much they usually differ, in parts of the speed
	patience time.Duration
	looks    int
}

// newTuner returns a tuner for at most so many slots.
func newTuner(most int) *tuner {
	t := &tuner{max: most, best: min(firstSlots, most), patience: minPatience}
	t.search()
	return t
}

// slots returns the number to use now.
func (t *tuner) slots() int {
	if t.other != 0 {
		return t.other
	}
	return t.best
}

// settled reports whether nothing is tried at present.
func (t *tuner) settled() bool { return !t.searching && t.other == 0 && t.tried == 0 }

// found says what the last search has found, for people.
func (t *tuner) found() string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(t.ratios)) {
		parts = append(parts, fmt.Sprintf("%d: %.0f %%", n, 100*t.ratios[n]))
	}
	return strings.Join(parts, ", ")
}

// observe takes in what the GPU did with the number of slots that slots returned.
func (t *tuner) observe(o observation) {
	t.as.add(o)
	if o.failed { // it begins anew, but not for ever
		t.as = stint{observation: observation{wall: t.as.wall}}
	}
	switch {
	case t.other != 0 && t.as.wall > unoccupied && t.as.full < atLeast:
		t.ratios[t.other] = 0 // there is not enough work to tell
		t.other, t.bouts = 0, nil
		t.as = stint{}
		t.next()
	case t.other != 0 && t.as.over(t.other, t.bestRate):
		t.tried, t.triedRate, t.other = t.other, t.as.rate(), 0
		t.doubt = t.as.uncertain()
		t.as = stint{}
	case t.other == 0 && t.as.over(t.best, t.rival()):
		use := t.as
		t.as = stint{}
		t.used(use)
	}
}

// rival returns the speed with which this use of the best is compared, or 0.
func (t *tuner) rival() float64 {
	if t.tried == 0 {
		return 0
	}
	return t.triedRate
}

// used draws the conclusions from a use of the best.
func (t *tuner) used(use stint) {
	switch rate := use.rate(); {
	case t.tried != 0:
		t.doubt = max(t.doubt, use.uncertain())
		if t.compare(rate) {
			t.next()
		}
	case t.searching:
		t.bestRate = rate
		t.next()
	default:
		t.watch(use)
	}
}

// compare decides between the best and what was tried between two uses of it, and reports whether
// that is settled. If they are hard to tell apart, because the speed changes by itself, they meet
// again. The first bouts are trusted least, and nobody minds a mistake that costs next to
// nothing.
func (t *tuner) compare(after float64) bool {
	before, n := t.bestRate, t.tried
	mean := (before + after) / 2
	t.tried, t.bestRate = 0, after
	if mean <= 0 {
		return true
	}
	t.bouts = append(t.bouts, t.triedRate/mean)
	t.noise += (max(math.Abs(before-after)/mean, 2*t.doubt) - t.noise) / 4
	bouts, ratio := float64(len(t.bouts)), average(t.bouts)
	unsure := max(t.noise, spread(t.bouts)) / math.Sqrt(bouts)
	wanted := asGood
	if n > t.best {
		wanted = worthIt
	}
	if bouts < mostBouts && math.Abs(ratio-wanted) < (1+0.5/bouts)*unsure && unsure > 1.5*sure {
		t.other = n
		return false
	}
	t.bouts, t.ratios[n] = nil, ratio
	if ratio < wanted {
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

// spread returns the standard deviation, 0 of a single one.
func spread(of []float64) float64 {
	mean, sum := average(of), 0.0
	for _, x := range of {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(max(len(of)-1, 1)))
}

// search begins to try all numbers that are far apart.
func (t *tuner) search() {
	t.searching, t.began = true, t.best
	t.ratios = map[int]float64{t.best: 1}
	t.plan = coarse(t.best, t.max)
}

// coarse returns the powers of two and the limit, the nearest to the best first.
func coarse(best, limit int) []int {
	numbers := []int{limit}
	for n := 1; n < limit; n *= 2 {
		numbers = append(numbers, n)
	}
	factor := func(n int) float64 { return max(float64(n)/float64(best), float64(best)/float64(n)) }
	slices.SortStableFunc(numbers, func(a, b int) int {
		if factor(a) < factor(b) || factor(a) == factor(b) && a < b {
			return -1
		}
		return 1
	})
	return numbers
}

// next chooses what to try, or ends the search.
func (t *tuner) next() {
	if !t.searching { // it was a look
		if t.best != t.began {
			t.search()
		} else {
			return
		}
	}
	for len(t.plan) > 0 {
		n := t.plan[0]
		t.plan = t.plan[1:]
		if _, known := t.ratios[n]; !known {
			t.other = n
			return
		}
	}
	if t.other = t.between(); t.other != 0 {
		return
	}
	t.searching = false
	t.quiet, t.unlooked, t.strange = 0, 0, 0
	if t.best == t.began {
		t.patience = min(2*t.patience, maxPatience)
	} else {
		t.patience = minPatience
	}
}

// between returns a number between the best and the next one on either side that was tried, where
// the gap is wider, or 0 if the gaps are too narrow to matter.
func (t *tuner) between() int {
	below, above := 0, t.max+1
	for n := range t.ratios {
		if n < t.best {
			below = max(below, n)
		} else if n > t.best {
			above = min(above, n)
		}
	}
	step := max(1, t.best/8)
	up, down := (above-t.best)/2, (t.best-below)/2
	switch {
	case up >= step && up >= down && above <= t.max:
		return t.best + up
	case down >= step && below > 0:
		return t.best - down
	case up >= step && above <= t.max:
		return t.best + up
	}
	return 0
}

// watch looks, while nothing is tried, whether the GPU is as fast as it was, and from time to
// time at another number.
func (t *tuner) watch(use stint) {
	rate := use.rate()
	t.quiet += use.full
	t.unlooked += use.full
	differs := math.Abs(rate/max(t.bestRate, 1e-9) - 1)
	strange := differs > max(changed, 3*t.unrest)
	t.unrest += (min(differs, changed) - t.unrest) / 5
	if strange {
		t.strange++
	} else {
		t.strange = 0
		t.bestRate += (rate - t.bestRate) / 5 // it may drift with the prompts
	}
	switch {
	case t.strange >= 2 && t.quiet >= t.patience:
		t.bestRate = rate
		t.search()
		t.next()
	case t.strange == 0 && t.unlooked >= probeEvery:
		t.look()
	}
}

// look has one other number tried: in turn one that is a little larger, one that is a little
// smaller, one that is far.
func (t *tuner) look() {
	t.began, t.unlooked = t.best, 0
	step := max(1, t.best/4)
	far := coarse(t.best, t.max)
	for range 3 {
		n := [3]int{t.best + step, t.best - step, far[t.looks/3%len(far)]}[t.looks%3]
		t.looks++
		if n >= 1 && n <= t.max && n != t.best {
			t.other = n
			return
		}
	}
}
