package stream

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A receipt is a message that this process holds, with the clock of its lease. The clock runs
// from a moment that is known to be before the server's own, but for the way from the server to
// here after a delivery; a tenth of the lease is kept back for that.
type receipt struct {
	c     *Conn
	reply string // where the server takes acks of this delivery
	lease time.Duration
	quick bool // acks, rejections and extensions are sent and not confirmed one by one

	mu    sync.Mutex
	since time.Time // when the lease began, or was last renewed for sure
}

func newReceipt(c *Conn, reply string, lease time.Duration) *receipt {
	return &receipt{c: c, reply: reply, lease: lease, since: time.Now()}
}

// left returns how long the lease is surely still ours.
func (r *receipt) left() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.since.Add(r.lease - r.lease/10))
}

// Extend renews the lease. After the lease ran out somebody else may hold the message: it returns
// ErrLeaseLost.
func (r *receipt) Extend(ctx context.Context) error {
	left := r.left()
	if left <= 0 {
		return pipeline.ErrLeaseLost
	}
	var asked time.Time
	err := r.while(ctx, left, func(ctx context.Context) error {
		asked = time.Now()
		if r.quick {
			return r.c.nc.Publish(r.reply, []byte("+WPI"))
		}
		return r.ask(ctx, r.lease/3, "+WPI")
	})
	if err != nil {
		return fmt.Errorf("extend the lease: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if asked.After(r.since) {
		r.since = asked
	}
	return nil
}

// Ack removes the message. It tries again while the server does not answer: an ack may be late,
// and be repeated.
func (r *receipt) Ack(ctx context.Context) error {
	if r.quick {
		if err := r.c.nc.Publish(r.reply, []byte("+ACK")); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
		return nil
	}
	wait := newWait(50*time.Millisecond, 2*time.Second)
	for unanswered := 0; ; {
		err := r.ask(ctx, ackWithin, "+ACK")
		switch {
		case err == nil:
			return nil
		case isNobody(err): // the durable is gone
			unanswered++
		case isTimeout(err): // or begun anew and does not know the delivery; to find that out takes long
			unanswered += 2
		}
		if !isAway(err) && !isNobody(err) || unanswered >= 4 {
			return fmt.Errorf("ack: %w", err)
		}
		if wait.next(ctx) != nil {
			return fmt.Errorf("ack: %w", ctx.Err())
		}
	}
}

// HandBack gives the message to the next who asks. It is sent once: if the answer is lost, the
// first may have worked, and a second would take the message from its next holder.
func (r *receipt) HandBack(ctx context.Context, delay time.Duration) error {
	body := "-NAK"
	if delay > 0 {
		body = fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds())
	}
	if err := r.settle(ctx, body); err != nil {
		return fmt.Errorf("hand back: %w", err)
	}
	return nil
}

// Reject removes a message that can never be used.
func (r *receipt) Reject(ctx context.Context, reason string) error {
	reason = strings.Join(strings.Fields(strings.ToValidUTF8(reason, "?")), " ")
	reason = reason[:min(len(reason), 256)]
	if r.quick { // who is sent thousands of messages to reject has no time for a round trip each
		if r.left() <= 0 {
			return fmt.Errorf("reject: %w", pipeline.ErrLeaseLost)
		}
		if err := r.c.nc.Publish(r.reply, []byte("+TERM "+reason)); err != nil {
			return fmt.Errorf("reject: %w", err)
		}
		return nil
	}
	if err := r.settle(ctx, "+TERM "+reason); err != nil {
		return fmt.Errorf("reject: %w", err)
	}
	return nil
}

// settle sends what may only be sent by the holder.
func (r *receipt) settle(ctx context.Context, body string) error {
	left := r.left()
	if left <= 0 {
		return pipeline.ErrLeaseLost
	}
	return r.while(ctx, left, func(ctx context.Context) error { return r.ask(ctx, min(ackWithin, r.left()), body) })
}

// while repeats a request that was not sent because there is no connection, for as long as the
// lease is ours.
func (r *receipt) while(ctx context.Context, left time.Duration, f func(context.Context) error) error {
	leased, cancel := context.WithTimeoutCause(ctx, left, pipeline.ErrLeaseLost)
	defer cancel()
	wait := newWait(25*time.Millisecond, time.Second)
	for {
		err := f(leased)
		if err == nil || !isNotSent(err) && leased.Err() == nil {
			return err
		}
		if leased.Err() != nil || wait.next(leased) != nil {
			return context.Cause(leased)
		}
	}
}

// ask sends a decision and waits for the server's answer.
func (r *receipt) ask(ctx context.Context, within time.Duration, body string) error {
	return r.c.call(ctx, r.reply, within, func(ctx context.Context) error {
		_, err := r.c.nc.RequestWithContext(ctx, r.reply, []byte(body))
		return err
	})
}

// An incoming is a message as the server delivered it.
type incoming struct {
	subject    string
	header     nats.Header
	data       []byte
	deliveries int
	sequence   uint64 // on its stream
}

// taken returns a message that nats.go's own pull got.
func taken(msg jetstream.Msg) incoming {
	in := incoming{subject: msg.Subject(), header: msg.Headers(), data: msg.Data()}
	if meta, err := msg.Metadata(); err == nil {
		in.deliveries, in.sequence = int(meta.NumDelivered), meta.Sequence.Stream
	}
	return in
}

// fetched returns a message that our own pull got.
func fetched(msg *nats.Msg) incoming {
	in := incoming{subject: msg.Subject, header: msg.Header, data: msg.Data}
	if meta, err := msg.Metadata(); err == nil {
		in.deliveries, in.sequence = int(meta.NumDelivered), meta.Sequence.Stream
	}
	return in
}

// deliver makes a delivery of a message, with Err set if it cannot be read.
func deliver[T any](c *Conn, msg incoming, r *receipt, kind string, decode func([]byte) (T, error), of func(T) (string, int)) pipeline.Delivery[T] {
	d := pipeline.Delivery[T]{Subject: msg.subject, Deliveries: msg.deliveries, Receipt: r}
	data, err := c.codec.unpack(msg.header, msg.data)
	if err == nil {
		d.Body, err = decode(data)
	}
	if err == nil {
		if run, batch := of(d.Body); !ofBatch(msg.subject, kind, run, batch) {
			err = fmt.Errorf("the message is of batch %s, which is not what its subject says", pipeline.BatchID(run, batch))
		}
	}
	if err != nil {
		var none T
		d.Body, d.Err = none, fmt.Errorf("message on %s: %w", msg.subject, err)
	}
	return d
}
