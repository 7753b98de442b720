// Package producer is the engine of the operator's side: it turns the rows of a dataset into the
// items and batches of a run, publishes each batch, and follows the run to its end.
package producer

import (
	"context"
	"time"

	"gleaner/internal/pipeline"
)

// ledger is where runs, items and batches are kept.
type store interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
	Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error)
	MarkQueued(ctx context.Context, run string, indexes []int, at time.Time) error
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
}

// loader is where a run is written when it is loaded.
type loader interface {
	CreateRun(ctx context.Context, run pipeline.Run) (stored pipeline.Run, created bool, err error)
	PutItems(ctx context.Context, items []pipeline.Item) error
	PutBatches(ctx context.Context, batches []pipeline.Batch) error
	Loaded(ctx context.Context, run string) (items, batches int, err error)
	Seal(ctx context.Context, name string, batches int) error
}
