package local

import (
	"context"
	"sync/atomic"
	"time"

	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
)

// wayToStore publishes what a consumer makes, and knows how long that takes to the store at
// present.
type wayToStore struct {
	consumer.OutcomePublisher
	wrote     func() (at time.Time, lag time.Duration) // see sink.Sink
	published atomic.Int64                             // messages with results

	seen   time.Time // of the last write that was looked at
	before int64     // messages that were published then
	since  time.Time // when there were more than that; zero: there are none
}

// PublishResults counts the message before it is published, since that may take long, too.
func (w *wayToStore) PublishResults(ctx context.Context, results pipeline.Results) error {
	w.published.Add(1)
	return w.OutcomePublisher.PublishResults(ctx, results)
}

// lag returns how long the oldest message of the last write took, or how long others wait since, if
// that is longer. It is for one goroutine.
func (w *wayToStore) lag() time.Duration {
	at, lag := w.wrote()
	published, now := w.published.Load(), time.Now()
	switch {
	case at != w.seen:
		w.seen, w.before, w.since = at, published, time.Time{}
		return lag
	case published == w.before:
		return 0 // that write was the last one, and may be long ago
	case w.since.IsZero():
		w.since = now
	}
	return now.Sub(w.since)
}

// generated returns how many answers a consumer has made.
func generated(c pipeline.Presence) int {
	n := 0
	for _, g := range c.GPUs {
		n += g.Generations
	}
	return n
}
