package producer

import "math/bits"

// exactBelow is below which length each has a count of its own. Above it lengths share counts that
// are 1/exactBelow wide at most.
const (
	exactBits  = 7
	exactBelow = 1 << exactBits
)

// Lengths are those of many requests, in bytes, in bounded memory. Those below 128 are exact; of
// longer ones a quantile is at most 0.8 % off.
type Lengths struct {
	counts []int
	total  int
	max    int
	// File and Line say where the row of the longest one is, the first of several.
	File string
	Line int
}

// add takes in a length. Where, which is only called for the longest so far, says where its row is.
func (l *Lengths) add(length int, where func() (file string, line int)) {
	at := countOf(length)
	for at >= len(l.counts) {
		l.counts = append(l.counts, 0)
	}
	l.counts[at]++
	l.total++
	if length > l.max || l.total == 1 {
		l.max = length
		l.File, l.Line = where()
	}
}

// countOf returns which count a length belongs to: its first bits, and how many follow them.
func countOf(length int) int {
	more := max(bits.Len(uint(length))-exactBits-1, 0)
	return more<<exactBits + length>>more
}

// Quantile returns the length that this share of all does not exceed, such as 0.99.
func (l *Lengths) Quantile(share float64) int {
	wanted := int(share*float64(l.total) + 0.999999)
	for at, n := range l.counts {
		if wanted -= n; wanted <= 0 && n > 0 {
			return min(lengthOf(at), l.max)
		}
	}
	return l.max
}

// lengthOf returns the middle of the lengths of a count.
func lengthOf(at int) int {
	more := max(at>>exactBits-1, 0)
	low := (at - more<<exactBits) << more
	return low + (1<<more)/2
}

// Max returns the greatest length.
func (l *Lengths) Max() int { return l.max }
