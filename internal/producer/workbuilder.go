package producer

import (
	"context"
	"fmt"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// What is in memory at once while a run is published, at most.
const (
	firstItems      = 8        // items of the first read, when nothing is known of their size
	mostItems       = 256      // items of one read
	itemBytes       = 8 << 20  // of the items of one read, about
	maxPublishBytes = 16 << 20 // of rendered prompts, about
)

// items is where the rows of a run are read from.
type items interface {
	Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
}

// Works makes the messages of a run's batches, for everybody who puts batches on the queue. It
// reads the items several at a time, fewer where they are large. It is for one goroutine.
type WorkBuilder struct {
	items    items
	run      pipeline.Run
	renderer *prompt.Renderer
	most     int // items of the next read
}

// NewWorks returns a maker of messages for a run whose items are kept there.
func NewWorkBuilder(from items, run pipeline.Run) (*WorkBuilder, error) {
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return nil, err
	}
	return &WorkBuilder{items: from, run: run, renderer: renderer, most: firstItems}, nil
}

// Works returns the messages for the first of the batches: as many as may be in memory at once,
// at least one. A message has the generations of its batch that are not stored, and the round
// that stands in the batch.
func (r *WorkBuilder) Build(ctx context.Context, batches []pipeline.Batch) ([]pipeline.Work, error) {
	final := batches[len(batches)-1]
	end, _ := final.Generation(final.Count-1, r.run.Spec.Samples)
	requests := map[int][]pipeline.Message{} // by item, without what they share
	var works []pipeline.Work
	for bytes := 0; len(works) < len(batches) && bytes < maxPublishBytes; {
		b := batches[len(works)]
		generations := make([]pipeline.Generation, 0, b.Count)
		for _, index := range b.Missing() {
			item, sample := b.Generation(index, r.run.Spec.Samples)
			if _, ok := requests[item]; !ok {
				if err := r.read(ctx, item, end-item+1, requests); err != nil {
					return nil, err
				}
			}
			seed := pipeline.Seed(r.run.Spec.Seed, pipeline.GenerationID(r.run.Name, item, sample))
			generations = append(generations, pipeline.Generation{Index: index, Item: item, Sample: sample, Seed: seed, Messages: requests[item]})
			bytes += pipeline.ContentBytes(requests[item])
		}
		works = append(works, workOf(r.run, r.renderer.Shared(), b, generations))
	}
	return works, nil
}

// read renders the prompts of an item and of some that follow it, at most count.
func (r *WorkBuilder) read(ctx context.Context, first, count int, into map[int][]pipeline.Message) error {
	items, err := r.items.Items(ctx, r.run.Name, first, min(count, r.most))
	if err != nil {
		return err
	}
	if len(items) == 0 || items[0].Seq != first {
		return fmt.Errorf("item %s is missing in the store", pipeline.ItemID(r.run.Name, first))
	}
	bytes := 0
	for _, item := range items {
		messages, err := r.renderer.Render(item.Input)
		if err != nil {
			return fmt.Errorf("item %s: %w", item.ID(), err)
		}
		into[item.Seq] = messages[len(r.renderer.Shared()):]
		bytes += len(item.Input)
	}
	// Those that follow are taken to be as large, but not all at once.
	r.most = max(1, min(itemBytes*len(items)/(bytes+1), 2*r.most, mostItems))
	return nil
}
