package producer

import (
	"fmt"
	"hash/maphash"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// rowIDs sees whether each row has an id of its own, where the run names a column for it. Of each
// id it keeps a hash of 64 bits, however long the ids are. That two ids have the same one happens
// once in 37 million runs of a million rows, and not again: the next pass has other hashes.
type rowIDs struct {
	seed maphash.Seed
	seen hashSet
}

func newRowIDs() *rowIDs { return &rowIDs{seed: maphash.MakeSeed()} }

// add takes in the id of a row. The error is a *prompt.RowProblem if it has none, or an earlier
// row's.
func (r *rowIDs) add(renderer *prompt.Renderer, row []byte) error {
	id, err := renderer.RowID(row)
	if err != nil || id == "" {
		return err
	}
	if !r.seen.add(maphash.String(r.seed, id)) {
		return &prompt.RowProblem{Kind: pipeline.SameID, Problem: fmt.Sprintf("its id is %q, which an earlier row has, too", id)}
	}
	return nil
}

// A hashSet is a set of hashes that takes 11 to 21 bytes for each, half of what a map takes. It is
// many small tables, so that a larger one never stands beside its copy.
type hashSet [256]hashTable

// add adds a hash, and reports whether it was not there.
func (s *hashSet) add(hash uint64) bool { return s[hash>>56].add(max(hash, 1)) }

// A hashTable has each hash in the first free place from the one on that its last bits name. A
// place with 0 is free.
type hashTable struct {
	places []uint64 // a power of two
	used   int
}

func (t *hashTable) add(hash uint64) bool {
	if t.used >= len(t.places)*3/4 {
		larger := hashTable{places: make([]uint64, max(16, 2*len(t.places)))}
		for _, h := range t.places {
			if h != 0 {
				larger.add(h)
			}
		}
		*t = larger
	}
	for i := int(hash) & (len(t.places) - 1); ; i = (i + 1) & (len(t.places) - 1) {
		switch t.places[i] {
		case hash:
			return false
		case 0:
			t.places[i] = hash
			t.used++
			return true
		}
	}
}
