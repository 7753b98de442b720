package dataset

import (
	"bytes"
	"slices"
)

// fewNames is up to how many names of an object are compared each with each.
const fewNames = 12

// checkNames notes a name that stands twice in the object that ends here.
func (s *scanner) checkNames(l level) {
	names := s.names[l.first:]
	switch {
	case len(names) < 2 || s.fault != noFault:
		return
	case l.escaped:
		s.checkSpelled(names)
	case len(names) > fewNames:
		s.checkSorted(names)
	default:
		for i, a := range names[1:] {
			for _, b := range names[:i+1] {
				if a.end-a.start == b.end-b.start && bytes.Equal(s.data[a.start:a.end], s.data[b.start:b.end]) {
					s.note(nameTwice, int(a.start))
					return
				}
			}
		}
	}
}

// checkSorted compares many names.
func (s *scanner) checkSorted(names []span) {
	slices.SortStableFunc(names, func(a, b span) int {
		return bytes.Compare(s.data[a.start:a.end], s.data[b.start:b.end])
	})
	for i := 1; i < len(names); i++ {
		a, b := names[i-1], names[i]
		if bytes.Equal(s.data[a.start:a.end], s.data[b.start:b.end]) {
			s.note(nameTwice, int(b.start))
			return
		}
	}
}

// checkSpelled compares names of which one is written with escapes, so that two spellings may mean
// one name.
func (s *scanner) checkSpelled(names []span) {
	seen := make(map[string]struct{}, len(names))
	var spelled []byte
	for _, n := range names {
		spelled = appendText(spelled[:0], s.data[n.start:n.end])
		if _, twice := seen[string(spelled)]; twice {
			s.note(nameTwice, int(n.start))
			return
		}
		seen[string(spelled)] = struct{}{}
	}
}
