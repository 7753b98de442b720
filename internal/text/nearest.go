package text

import "strings"

// Nearest returns the candidate that was probably meant by a wrong name: one that begins alike or
// has few other characters. Of several it is the first; "" if none is alike.
func Nearest(name string, candidates []string) string {
	name = strings.ToLower(Shorten(strings.Trim(name, "- "), 40))
	best, least := "", max(2, len(name)/3)+1
	for _, candidate := range candidates {
		lower := strings.ToLower(candidate)
		distance := Distance(name, lower, least)
		if len(name) > 2 && (strings.HasPrefix(lower, name) || strings.HasPrefix(name, lower+"-")) {
			distance = min(distance, 1)
		}
		if distance < least {
			best, least = candidate, distance
		}
	}
	if least >= len(best) {
		return ""
	}
	return best
}

// Distance returns how many characters have to be changed, added, taken out or exchanged with the
// next for one name to become another, or more than limit where it is more.
func Distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if max(len(x)-len(y), len(y)-len(x)) > limit || len(x) > 300 || len(y) > 300 {
		return limit + 1
	}
	before, last := []int(nil), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
