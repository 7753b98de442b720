package stream

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"

	"github.com/nats-io/nats.go"
)

// PublishDeadLetter keeps what could not be generated, and returns nil once the server has
// confirmed it. An older dead letter of the same batch is replaced. While the server does not
// answer, or the stream is full, it tries again until ctx ends, as PublishResults does. Messages
// are cut to 4 KiB, the texts of answers that were cut off to pipeline.MaxPartialBytes together,
// and both further if the dead letter is too large for one message. If that is not enough the
// prompts are left out: the store has them, and a batch whose letter is refused would come back
// without end. A dead letter that is not valid is a BadItem failure.
func (c *Conn) PublishDeadLetter(ctx context.Context, d pipeline.DeadLetter) error {
	msg, err := c.codec.packDeadLetter(d, c.publisher.messageLimit())
	if err == nil {
		err = c.deadLetters.publish(ctx, d.Run, msg)
	}
	if err != nil {
		return fmt.Errorf("publish the dead letter of batch %s: %w", d.ID(), err)
	}
	return nil
}

// A brevity is how much of what a letter says is kept.
type brevity struct {
	message   int  // bytes of one failure's message, at most
	partial   int  // bytes of all that there was of answers that were cut off, at most
	noPrompts bool // no prompts are kept
}

// leastTooLarge is how many bytes are kept of what is said about a row that is too large.
const leastTooLarge = 512

// brevities are tried in turn, until a message is small enough as it is sent.
func brevities() []brevity {
	const texts = pipeline.MaxPartialBytes
	return []brevity{
		{4 << 10, texts, false}, {4 << 10, texts / 4, false}, {4 << 10, 0, false}, {1 << 10, 0, false}, {256, 0, false}, {64, 0, false}, {0, 0, false},
		{4 << 10, texts / 4, true}, {1 << 10, 0, true}, {256, 0, true}, {0, 0, true},
	}
}

// packDeadLetter returns a message of at most this many bytes, or of the least size that the dead
// letter can have: whether that is too large is for the server to say.
func (c *codec) packDeadLetter(d pipeline.DeadLetter, most int) (*nats.Msg, error) {
	var msg *nats.Msg
	for _, b := range brevities() {
		cut := d
		cut.Message, cut.Failures = text.Shorten(d.Message, b.message), b.of(d.Failures)
		if b.noPrompts {
			cut.Shared = nil
		}
		if err := cut.Validate(); err != nil {
			return nil, pipeline.Fail(pipeline.BadItem, "%w", err)
		}
		data, err := pipeline.Encode(cut)
		if err != nil {
			return nil, err
		}
		msg = c.pack(deadSubject(d.Run, d.Batch), data)
		if len(data) <= maxDecoded && len(msg.Data) <= most {
			break
		}
	}
	return msg, nil
}

// of returns the failures in this brevity.
func (b brevity) of(failures []pipeline.GenerationFailure) []pipeline.GenerationFailure {
	failures = slices.Clone(failures)
	texts, bytes := 0, 0
	for _, f := range failures {
		texts, bytes = texts+min(len(f.Text), 1), bytes+len(f.Text)
	}
	for i := range failures {
		most := b.message
		if failures[i].Class == pipeline.TooLarge { // its words are few and alike, and the only reason
			most = max(most, leastTooLarge)
		}
		failures[i].Message = text.Shorten(failures[i].Message, most)
		if b.noPrompts {
			failures[i].Messages, failures[i].Tools = nil, ""
		}
		if bytes > b.partial {
			failures[i].Text = text.Ends(failures[i].Text, b.partial/texts)
		}
	}
	return failures
}

// DeadLettersToMirror takes up to max dead letters that the ledger does not know yet. It waits for
// the first and takes what else is there. Those that cannot be read have Err set. An ack says that
// the ledger knows; the dead letter itself stays on the stream. Ending ctx, and the acks, work as
// with Results.
func (c *Conn) DeadLettersToMirror(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.StoredDeadLetter], error) {
	t := taker[pipeline.StoredDeadLetter]{
		durable: c.mirror,
		next: func(taken int) (int, time.Duration) {
			if taken == 0 {
				return 1, wait
			}
			return min(max-taken, mirrorBatch), 0
		},
		read: c.readDeadLetter,
	}
	letters, err := t.take(ctx, max)
	if err != nil {
		return nil, fmt.Errorf("take dead letters: %w", err)
	}
	return letters, nil
}

func (c *Conn) readDeadLetter(msg *nats.Msg, r *receipt) (d pipeline.Delivery[pipeline.StoredDeadLetter], bytes int) {
	m := natsMessage(msg)
	decode := func(data []byte) (pipeline.StoredDeadLetter, error) {
		d, err := pipeline.DecodeDeadLetter(data)
		return pipeline.StoredDeadLetter{DeadLetter: d, Sequence: m.sequence}, err
	}
	d = deliver(c.codec, m, r, format[pipeline.StoredDeadLetter]{
		kind: "dead", decode: decode, batch: func(d pipeline.StoredDeadLetter) (string, int) { return d.Run, d.Batch },
	})
	bytes = pipeline.ContentBytes(d.Body.Shared)
	for _, f := range d.Body.Failures {
		bytes += pipeline.ContentBytes(f.Messages) + len(f.Tools) + len(f.Message) + len(f.Text)
	}
	return d, bytes
}
