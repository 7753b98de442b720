package reconcile

import (
	"context"

	"gleaner/internal/failures"
)

// A Grouped says why generations failed, from dead letters.
type Grouped struct {
	Letters int              `json:"letters"` // that were chosen
	Groups  []failures.Group `json:"groups"`  // of those that wait; the largest first
	// Settled counts the chosen letters that are in no group, because they do not wait for anyone.
	Settled map[Disposition]int `json:"settled,omitempty"`
}

// Group groups the failures in the chosen dead letters that wait, at most limit letters; 0: all. It
// holds no more for many letters than for a few.
func (e *Engine) Group(ctx context.Context, filter Filter, limit int) (Grouped, error) {
	grouped, groups := Grouped{Settled: map[Disposition]int{}}, failures.Groups{}
	for letter, err := range e.Letters(ctx, filter) {
		if err != nil {
			return grouped, err
		}
		if grouped.Letters++; letter.Disposition == Waiting {
			groups.Add(letter.DeadLetter, filter.Classes...)
		} else {
			grouped.Settled[letter.Disposition]++
		}
		if grouped.Letters == limit {
			break
		}
	}
	if grouped.Groups = groups.List(); grouped.Groups == nil {
		grouped.Groups = []failures.Group{} // none is a list, too
	}
	return grouped, nil
}
