package pipeline

import "context"

// A BuildFunc makes the messages of batches of one run, with the generations that are not stored
// and the round that stands in the batch. It may return fewer messages than batches, but at least
// one. It is for one goroutine.
type BuildFunc func(ctx context.Context, batches []Batch) ([]Work, error)
