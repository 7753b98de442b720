package producer

import (
	"fmt"
	"hash/maphash"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// rowIDs sees whether each row has an id of its own, where the run names a column for it. Of each
// id it keeps a hash of 64 bits, so that a million take about 16 MB, however long they are. That
// two ids have the same one happens once in 37 million runs of a million rows, and not again: the
// next pass has other hashes.
type rowIDs struct {
	seed maphash.Seed
	seen map[uint64]struct{}
}

func newRowIDs() *rowIDs { return &rowIDs{maphash.MakeSeed(), map[uint64]struct{}{}} }

// add takes in the id of a row. The error is a *prompt.RowProblem if it has none, or an earlier
// row's.
func (r *rowIDs) add(renderer *prompt.Renderer, row []byte) error {
	id, err := renderer.RowID(row)
	if err != nil || id == "" {
		return err
	}
	hash := maphash.String(r.seed, id)
	if _, twice := r.seen[hash]; twice {
		return &prompt.RowProblem{Kind: pipeline.SameID, Problem: fmt.Sprintf("its id is %q, which an earlier row has, too", id)}
	}
	r.seen[hash] = struct{}{}
	return nil
}
