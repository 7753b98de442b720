package status

import (
	"cmp"
	"iter"
	"slices"

	"gleaner/internal/pipeline"
)

// A Reason is a class of failures of a run.
type Reason struct {
	Class       pipeline.Class `json:"class"`
	Generations int            `json:"generations"`
	Message     string         `json:"message"` // of one of them
}

// mostLetters is how many dead letters are read to say why generations failed: each may have
// hundreds of kilobytes.
const mostLetters = 1000

// reasons adds up the first dead letters of a load of a run, the most frequent reason first.
func reasons(letters iter.Seq2[pipeline.StoredDeadLetter, error], run pipeline.Run) ([]Reason, error) {
	byClass := map[pipeline.Class]*Reason{}
	read := 0
	for letter, err := range letters {
		if err != nil && pipeline.ClassOf(err) != pipeline.BadItem { // else it concerns this letter alone
			return nil, err
		}
		if err != nil || !letter.IsOf(run) {
			continue
		}
		for _, f := range letter.Failures {
			if byClass[f.Class] == nil {
				byClass[f.Class] = &Reason{Class: f.Class, Message: f.Message}
			}
			byClass[f.Class].Generations++
		}
		if read++; read == mostLetters {
			break
		}
	}
	var all []Reason
	for _, r := range byClass {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Generations, a.Generations), cmp.Compare(a.Class, b.Class))
	})
	return all, nil
}
