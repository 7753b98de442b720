package producer

import (
	"context"
	"fmt"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// MostItems is how many items are read from the store at once, at most.
const MostItems = 256

// What is in memory at once while a run is published, at most.
const (
	firstItems      = 8        // items of the first read, when nothing is known of their size
	itemBytes       = 8 << 20  // of the items of one read, about
	maxPublishBytes = 16 << 20 // of rendered prompts, about
)

// ItemReader is where the rows of a run are read from.
type ItemReader interface {
	// Items returns the items first, first+1, … of a run, at most count, and ends before one that
	// is missing.
	Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
}

// A WorkBuilder makes the messages of a run's batches, for everything that puts batches on the
// queue. It reads the items several at a time, fewer where they are large. It is for one
// goroutine.
type WorkBuilder struct {
	items    ItemReader
	run      pipeline.Run
	renderer *prompt.Renderer
	most     int // items of the next read
}

// NewWorkBuilder returns a builder for a run whose items are in the store. An error says what is
// wrong with the run's prompt.
func NewWorkBuilder(store ItemReader, run pipeline.Run) (*WorkBuilder, error) {
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return nil, err
	}
	return &WorkBuilder{items: store, run: run, renderer: renderer, most: firstItems}, nil
}

// BuildFrom returns a function that makes the Build of a WorkBuilder for any run of the store, for
// engines that put batches of several runs on the queue.
func BuildFrom(store ItemReader) func(run pipeline.Run) (pipeline.BuildFunc, error) {
	return func(run pipeline.Run) (pipeline.BuildFunc, error) {
		builder, err := NewWorkBuilder(store, run)
		if err != nil {
			return nil, err
		}
		return builder.Build, nil
	}
}

// Build returns the messages for the first of the batches: as many as may be in memory at once,
// at least one. A message has the generations of its batch that are not stored, and the round
// that stands in the batch.
func (w *WorkBuilder) Build(ctx context.Context, batches []pipeline.Batch) ([]pipeline.Work, error) {
	final := batches[len(batches)-1]
	end, _ := final.Generation(final.Count-1, w.run.Spec.Samples)
	requests := map[int]pipeline.Rendered{} // by item, without what they share
	var works []pipeline.Work
	for bytes := 0; len(works) < len(batches) && bytes < maxPublishBytes; {
		b := batches[len(works)]
		generations := make([]pipeline.Generation, 0, b.Count)
		for _, index := range b.Missing() {
			item, sample := b.Generation(index, w.run.Spec.Samples)
			if _, ok := requests[item]; !ok {
				if err := w.read(ctx, item, end-item+1, requests); err != nil {
					return nil, err
				}
			}
			seed := pipeline.Seed(w.run.Spec.Seed, pipeline.GenerationID(w.run.Name, item, sample))
			generations = append(generations, pipeline.Generation{Index: index, Item: item, Sample: sample, Seed: seed, Messages: requests[item].Messages, Tools: requests[item].Tools})
			bytes += pipeline.ContentBytes(requests[item].Messages) + len(requests[item].Tools)
		}
		works = append(works, workOf(w.run, w.renderer.Shared(), b, generations))
	}
	return works, nil
}

// read renders the prompts of an item and of some that follow it, at most count.
func (w *WorkBuilder) read(ctx context.Context, first, count int, into map[int]pipeline.Rendered) error {
	items, err := w.items.Items(ctx, w.run.Name, first, min(count, w.most))
	if err != nil {
		return err
	}
	if len(items) == 0 || items[0].Seq != first {
		return fmt.Errorf("item %s is missing in the store", pipeline.ItemID(w.run.Name, first))
	}
	bytes := 0
	for _, item := range items {
		request, err := w.renderer.Request(item.Input)
		if err != nil {
			return fmt.Errorf("item %s: %w", item.ID(), err)
		}
		request.Messages = request.Messages[len(w.renderer.Shared()):]
		into[item.Seq] = request
		bytes += len(item.Input)
	}
	// Those that follow are taken to be as large, but not all at once.
	w.most = max(1, min(itemBytes*len(items)/(bytes+1), 2*w.most, MostItems))
	return nil
}
