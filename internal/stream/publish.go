package stream

import (
	"context"
	"errors"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// maxChunkBytes bounds a message of results, or a dead letter, as it travels; hosted servers
	// take 1 MiB with headers.
	maxChunkBytes = 900 << 10
	headroom      = 4 << 10 // for headers and subject, where a server takes less
)

// maxUnconfirmed is how many messages of one connection wait for their confirmation. With a
// thousand workers behind a server that is slow, each would wait for longer than a try lasts, send
// its message again, and make the server slower still.
const maxUnconfirmed = 128

// absentUnsaid is how often in a row no stream takes a message before that is said: some 0.5 s, in
// which a server that stops has closed its connections.
const absentUnsaid = 5

// A publisher sends messages to the streams and waits for their confirmation.
type publisher struct {
	c           *client
	unconfirmed chan struct{}   // holds a value for each
	absent      outage.Reporter // that no stream takes messages
}

func newPublisher(c *client) *publisher {
	return &publisher{c: c, unconfirmed: make(chan struct{}, maxUnconfirmed)}
}

// messageLimit returns how many bytes one message of results, or a dead letter, may have.
func (p *publisher) messageLimit() int {
	most := int(p.c.nc.MaxPayload())
	return min(maxChunkBytes, max(most-headroom, most/2))
}

// wireBytes returns what a server counts of a message: its content and its headers.
func wireBytes(msg *nats.Msg) int {
	bytes := len(msg.Data)
	if len(msg.Header) > 0 {
		bytes += len("NATS/1.0\r\n\r\n")
	}
	for key, values := range msg.Header {
		for _, value := range values {
			bytes += len(key) + len(": ") + len(value) + len("\r\n")
		}
	}
	return bytes
}

// publish sends a message until the server has confirmed or refused it, or ctx ends, or this many
// tries in a row found that no stream takes it; 0 means without limit.
func (p *publisher) publish(ctx context.Context, msg *nats.Msg, maxAbsent int) error {
	backoff := outage.NewBackoff(50*time.Millisecond, 2*time.Second)
	absent := 0
	noStream := outage.Loop{
		Log: p.c.log, Away: "no stream takes messages, trying again until one does: is NATS starting, or was the stream deleted? If the server's disk is or was full, " + restartAdvice,
		Back: "NATS takes messages again", Fields: []zap.Field{zap.String("subject", msg.Subject)}, Reporter: &p.absent,
	}
	for tries := 1; ; tries++ {
		err := p.once(ctx, msg)
		again, err := p.outcomeOf(msg, err)
		if !again {
			if err == nil {
				noStream.Observe(nil)
			}
			return err
		}
		if absent++; !isNoResponders(err) {
			absent = 0
		}
		if maxAbsent > 0 && absent == maxAbsent {
			return pipeline.Fail(pipeline.Retryable, "%w: the stream is gone, and what was on it: `%s` makes it again and publishes what was lost",
				err, advice.Command("publish", "--run", runOf(msg.Subject), "--follow"))
		}
		// A lost connection is logged where it is noticed, and a single answer that does not come
		// is not worth a line. Nor is a stream that its publisher creates again, nor one that its
		// server has closed already while it stops.
		if absent >= absentUnsaid && maxAbsent == 0 || isTimeout(err) && tries >= 2 && p.c.answers(ctx) {
			noStream.Observe(err)
		}
		if err := backoff.Sleep(ctx); err != nil {
			return err
		}
	}
}

// once sends a message, when not too many others wait for their confirmation.
func (p *publisher) once(ctx context.Context, msg *nats.Msg) error {
	select {
	case p.unconfirmed <- struct{}{}:
		defer func() { <-p.unconfirmed }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.c.call(ctx, msg.Subject, ackWithin, func(ctx context.Context) error {
		_, err := p.c.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
		return err
	})
}

// outcomeOf translates the outcome of a try: whether to try again, else what to return.
func (p *publisher) outcomeOf(msg *nats.Msg, err error) (again bool, _ error) {
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return false, pipeline.Fail(pipeline.BadItem, "%w: %w", err, &pipeline.SizeError{Bytes: wireBytes(msg), Limit: int(p.c.nc.MaxPayload())})
	}
	if refusal := noRoom(err); refusal != nil {
		return false, refusal
	}
	return isUnanswered(err) || isNoResponders(err), err
}
