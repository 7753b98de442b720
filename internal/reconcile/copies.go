package reconcile

import (
	"context"
	"maps"
	"slices"

	"gleaner/internal/pipeline"
)

// Copies are what is left on a stream of batches that are done. They do no harm and are removed:
// results by the sink, dead letters by a reconciler. Many of them are left by a broker that was
// restored.
type Copies struct {
	Count   int      `json:"count"`             // batches
	Batches []string `json:"batches,omitempty"` // ids of the first hundred
}

const mostCopiesNamed = 100

func (c *Copies) add(b pipeline.Batch) {
	c.Count++
	if len(c.Batches) < mostCopiesNamed {
		c.Batches = append(c.Batches, b.ID())
	}
}

// copies names what the streams of answers hold of batches that are done.
func (a *audit) copies(ctx context.Context) error {
	arriving, err := a.streams.Arriving(ctx, a.run.Name)
	if err != nil {
		return err
	}
	letters := map[int]bool{}
	for index, summary := range a.letters {
		if summary.round > 0 { // else it is of another load
			letters[index] = true
		}
	}
	for _, of := range []struct {
		batches map[int]bool
		copies  *Copies
	}{{arriving, &a.account.OnResults}, {letters, &a.account.OnDead}} {
		for page := range slices.Chunk(slices.Sorted(maps.Keys(of.batches)), PageSize) {
			batches, err := a.store.BatchesAt(ctx, a.run.Name, page)
			if err != nil {
				return err
			}
			slices.SortFunc(batches, func(a, b pipeline.Batch) int { return a.Index - b.Index })
			for _, b := range batches {
				if b.State == pipeline.Done {
					of.copies.add(b)
				}
			}
		}
	}
	return nil
}
