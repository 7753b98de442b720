package stream

import (
	"context"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

const (
	fetchMessages = 256 // at most, in one pull of results
	mirrorBatch   = 32  // at most, in one pull of dead letters
	// fetchBytes is how much the messages of one call may hold before it takes no more, so that
	// large answers do not fill the memory.
	fetchBytes = 64 << 20
)

// readWithin is how long the messages of one pull may take to be read. Their lease runs meanwhile,
// and a program that reads for longer could keep none of them: they would all come again, and
// again.
func readWithin(lease time.Duration) time.Duration { return lease / 4 }

// A taker takes the messages of a durable of the store's side in portions.
type taker[T any] struct {
	durable *durable
	// next returns how many messages the next pull asks for, and how long it waits for them.
	next func(taken int) (n int, wait time.Duration)
	// read reads a message, and returns about how many bytes of memory it takes.
	read func(msg *nats.Msg, r *receipt) (d pipeline.Delivery[T], bytes int)
}

// fetch makes one pull, and makes it again while the server restarts, the connection is dead, which
// the connection reports, or the durable is not there yet: it is made a moment after its stream.
func (t taker[T]) fetch(ctx context.Context, n int, wait time.Duration) (msgs []*nats.Msg, lease time.Duration, err error) {
	backoff := newDurableBackoff()
	for range absentTries {
		msgs, lease, err = t.durable.fetch(ctx, n, wait)
		silent := isTimeout(err) && ctx.Err() == nil && !t.durable.c.answers(ctx)
		if err == nil || isTimeout(err) && !silent || !isUnanswered(err) && !isNoResponders(err) && !isAbsent(err) {
			break
		}
		if err := backoff.Sleep(ctx); err != nil {
			return nil, 0, err
		}
	}
	return msgs, lease, err
}

// take pulls until max messages are there, until a pull brings fewer than it asked for, or until
// the messages are too large, or took too long to read, to take more. What is pulled and not taken
// is handed back. It returns an error only if there are no messages.
func (t taker[T]) take(ctx context.Context, max int) ([]pipeline.Delivery[T], error) {
	if err := t.durable.c.owner.allows(ctx); err != nil {
		return nil, err
	}
	var all []pipeline.Delivery[T]
	for bytes, enough := 0, false; len(all) < max && !enough; {
		n, wait := t.next(len(all))
		msgs, lease, err := t.fetch(ctx, n, wait)
		pulled := time.Now()
		if err != nil && len(all) == 0 {
			return nil, err
		}
		for _, msg := range msgs {
			if enough = len(all) > 0 && (bytes >= fetchBytes || time.Since(pulled) > readWithin(lease)); enough {
				t.durable.c.handBack(msg)
				continue
			}
			r := newReceipt(t.durable.c, msg.Reply, lease)
			r.unconfirmed, r.renewedAt = true, pulled
			d, size := t.read(msg, r)
			bytes += size
			all = append(all, d)
		}
		if err != nil || len(msgs) < n {
			break
		}
	}
	return all, nil
}
