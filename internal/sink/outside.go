package sink

import (
	"context"
	"time"

	"gleaner/internal/pipeline"
)

// Source is where results and dead letters come from.
type Source interface {
	// Results returns when wait is over, or as soon as there are max messages.
	Results(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error)
	// DeadLettersToMirror returns when wait is over, or as soon as there is a dead letter.
	DeadLettersToMirror(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.StoredDeadLetter], error)
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
}

// Store is the part of the store that results and dead letters are checked against and written to.
type Store interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error)
	WriteResults(ctx context.Context, results []pipeline.Results, at time.Time) (pipeline.Written, error)
	// Pin sets the digest of an engine's model from one value to another, and returns the one that
	// is set then.
	Pin(ctx context.Context, run string, engine pipeline.EngineName, from, to string) (pinned string, err error)
	// Refuse marks a planned or queued batch of this round, which then gets another one.
	Refuse(ctx context.Context, run string, index, round int) (bool, error)
	Fail(ctx context.Context, run string, index, round int, failed []int, message string) (bool, error)
	PutConsumers(ctx context.Context, consumers []pipeline.Presence) error
}
