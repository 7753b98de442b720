package autotune

import "slices"

// firstSlots is what a search begins with: not far from the best on most GPUs.
const firstSlots = 8

// farApart returns the powers of two and the limit, the nearest to the best first.
func farApart(best, limit int) []int {
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

// between returns a number between the best and the next one on either side that was compared,
// where the gap is wider, or 0 if the gaps are too narrow to matter. There are limit slots.
func between(best, limit int, compared map[int]float64) int {
	below, above := 0, limit+1
	for n := range compared {
		if n < best {
			below = max(below, n)
		} else if n > best {
			above = min(above, n)
		}
	}
	step := max(1, best/8)
	up, down := (above-best)/2, (best-below)/2
	switch {
	case up >= step && up >= down && above <= limit:
		return best + up
	case down >= step && below > 0:
		return best - down
	case up >= step && above <= limit:
		return best + up
	}
	return 0
}

// probe returns the number for a single trial between two searches, or 0 if there is none: in turn
// one that is a little larger than the best, one that is a little smaller, and one that is far. The
// turn counts the probes; the next probe has the turn that is returned.
func probe(best, limit, turn int) (slots, next int) {
	step := max(1, best/4)
	far := farApart(best, limit)
	for range 3 {
		n := [3]int{best + step, best - step, far[turn/3%len(far)]}[turn%3]
		turn++
		if n >= 1 && n <= limit && n != best {
			return n, turn
		}
	}
	return 0, turn
}
