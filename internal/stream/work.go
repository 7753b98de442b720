package stream

import (
	"context"
	"errors"
	"fmt"

	"gleaner/internal/pipeline"
)

// absentTries is how often a server may say in a row that no stream takes a batch before that
// counts: some 4 s. A server that starts may take messages before it has read its streams.
const absentTries = 10

// Publish puts a batch on the queue, and returns nil once the server has confirmed it. While the
// server does not answer it tries again until ctx ends. If it answers that there is no stream,
// for a few seconds, that is a Retryable failure: EnsureRun creates it. It returns
// pipeline.ErrOutstanding if the batch is on the queue already, also if that was one of its own
// tries, and pipeline.ErrFull if the stream takes no more. A batch that is too large is a BadItem
// failure, and so is one that is not valid.
func (c *Conn) Publish(ctx context.Context, w pipeline.Work) error {
	if err := w.Validate(); err != nil {
		return pipeline.Fail(pipeline.BadItem, "publish batch %s: %w", w.ID(), err)
	}
	data, err := pipeline.EncodeWork(w)
	if err != nil {
		return fmt.Errorf("publish batch %s: %w", w.ID(), err)
	}
	if err := c.publisher.publish(ctx, c.codec.pack(workSubject(w.Run, w.Batch), data), absentTries); err != nil {
		if errors.Is(err, pipeline.ErrFull) {
			err = c.usage.explain(ctx, w.Run, err)
		}
		return fmt.Errorf("publish batch %s: %w", w.ID(), err)
	}
	return nil
}

// Work returns the batches of a run, which need not exist yet.
func (c *Conn) Work(run string) *Source {
	return &Source{durable: newDurable(c.client, WorkStream, run, nil), expiry: c.pullExpiry, heartbeat: c.pullHeartbeat}
}
