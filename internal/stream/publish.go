package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	ackWithin     = 5 * time.Second // of one try
	maxChunkBytes = 900 << 10       // of a results message as it travels; hosted servers take 1 MiB with headers
	headroom      = 4 << 10         // for headers and subject, where a server takes less
	absentMost    = 10              // tries, some 4 s: a server that starts may take messages before it has read its streams
)

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
	if err := c.publish(ctx, c.codec.pack(workSubject(w.Run, w.Batch), data), absentMost); err != nil {
		if errors.Is(err, pipeline.ErrFull) {
			err = c.inNumbers(ctx, w.Run, err)
		}
		return fmt.Errorf("publish batch %s: %w", w.ID(), err)
	}
	return nil
}

// PublishResults sends answers to the store's side, in as many messages as their size needs, and
// returns nil once the server has confirmed all of them. While the server does not answer, or the
// stream is full, it tries again until ctx ends: nothing is dropped, and whoever waits keeps its
// lease. Results that are not valid, or of which one alone is too large, are a BadItem failure.
func (c *Conn) PublishResults(ctx context.Context, r pipeline.Results) error {
	if err := r.Validate(); err != nil {
		return pipeline.Fail(pipeline.BadItem, "publish results of batch %s: %w", r.ID(), err)
	}
	messages, err := c.codec.chunks(r, min(maxChunkBytes, int(c.nc.MaxPayload())-headroom))
	if err != nil {
		return fmt.Errorf("publish results of batch %s: %w", r.ID(), err)
	}
	for i, msg := range messages {
		msg.Subject = resultSubject(r.Run, r.Batch, i)
		if err := c.publishWhole(ctx, r.Run, msg, c.results); err != nil {
			return fmt.Errorf("publish results of batch %s: %w", r.ID(), err)
		}
	}
	return nil
}

// chunks packs the results into messages of at most so many bytes, halving what does not fit into
// one.
func (c *codec) chunks(r pipeline.Results, most int) ([]*nats.Msg, error) {
	data, err := pipeline.Encode(r)
	if err != nil {
		return nil, err
	}
	if len(data) <= maxDecoded {
		if msg := c.pack("", data); len(msg.Data) <= most {
			return []*nats.Msg{msg}, nil
		}
	}
	if len(r.Results) == 1 {
		return nil, pipeline.Fail(pipeline.BadItem, "the answer for generation %d takes more than %s, which is what the NATS server accepts in one message",
			r.Results[0].Index, size(int64(most)))
	}
	half := len(r.Results) / 2
	first, second := r, r
	first.Results, second.Results = r.Results[:half], r.Results[half:]
	a, err := c.chunks(first, most)
	if err != nil {
		return nil, err
	}
	b, err := c.chunks(second, most)
	return append(a, b...), err
}

// publish sends a message until the server has confirmed or refused it, or ctx ends, or so many
// tries in a row found that no stream takes it; 0 is as many as it takes.
func (c *Conn) publish(ctx context.Context, msg *nats.Msg, most int) error {
	wait := newWait(50*time.Millisecond, 2*time.Second)
	absent := 0
	for tries := 1; ; tries++ {
		err := c.call(ctx, msg.Subject, ackWithin, func(ctx context.Context) error {
			_, err := c.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
			return err
		})
		again, err := c.outcomeOf(msg, err)
		if !again {
			if err == nil && c.noStream.Ends() {
				c.log.Info("NATS takes messages again")
			}
			return err
		}
		if absent++; !isNobody(err) {
			absent = 0
		}
		if most > 0 && absent == most {
			return pipeline.Fail(pipeline.Retryable, "%w: the stream is gone, and what was on it: `producer publish --follow` makes it again and publishes what was lost", err)
		}
		// A lost connection is told where it is noticed, and a single answer that does not come
		// is nothing to tell. Nor is a stream that its publisher makes again.
		if (isNobody(err) && most == 0 || tries == 2 && c.nc.IsConnected()) && c.noStream.Begins(err) {
			c.log.Warn("no stream takes messages, trying again until one does: is NATS starting, is its disk full, or was the stream deleted?",
				zap.String("subject", msg.Subject), zap.Error(err))
		}
		if wait.next(ctx) != nil {
			return ctx.Err()
		}
	}
}

// outcomeOf translates the outcome of a try: whether to try again, else what to return.
func (c *Conn) outcomeOf(msg *nats.Msg, err error) (again bool, _ error) {
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return false, pipeline.Fail(pipeline.BadItem, "%w: the message has %s and the NATS server accepts %s in one: raise its max_payload, or load the run with smaller batches (--batch)",
			err, size(int64(msg.Size())), size(c.nc.MaxPayload()))
	}
	if refusal := noRoom(err); refusal != nil {
		return false, refusal
	}
	return isAway(err) || isNobody(err), err
}
