package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

const ackWithin = 5 * time.Second // of one try; a publish waits as long for its confirmation

// Holdings notes which deliveries this process holds, for the next one on this machine if this one
// is killed. Its methods are called at each delivery and renewal, and must be quick.
type Holdings interface {
	// Renewed is called when a delivery has come, and when a renewal of its lease is confirmed that
	// was sent at this time. Reply is where the server takes acks of the delivery.
	Renewed(reply string, at time.Time)
	// Released is called before a delivery is handed back or rejected, and after it was acknowledged.
	Released(reply string)
}

// A receipt is a message that this process holds, with the clock of its lease. The clock runs
// from a moment that is known to be before the server's own, but for the way from the server to
// here after a delivery; a tenth of the lease is kept back for that.
//
// The server does not check who acknowledges a message, so these rules decide what may be sent:
//
//   - Ack may be sent at any time and repeated, also after the lease ran out: the answers are
//     published before it, so the batch is finished in any case.
//   - HandBack, Reject and Extend are sent only while the clock says that the lease is ours, or
//     they would hit the next holder. Without a connection they wait for one, but no longer than
//     the lease.
//   - HandBack and Reject are sent once. If the answer is lost, the first may have worked, and the
//     message may have another holder by now.
//   - A renewal counts from the moment before it was sent, and only once the server has confirmed
//     it. A renewal whose answer is lost leaves the clock as it was.
type receipt struct {
	c     *client
	reply string // where the server takes acks of this delivery
	lease time.Duration
	// unconfirmed sends acks, rejections, hand-backs and extensions without waiting for the
	// server's answer. They are sent in order, and one that gets lost costs a second delivery.
	unconfirmed bool
	holdings    Holdings // nil: none

	mu        sync.Mutex
	renewedAt time.Time // when the lease began, or was last renewed for certain
}

func newReceipt(c *client, reply string, lease time.Duration) *receipt {
	return &receipt{c: c, reply: reply, lease: lease, renewedAt: time.Now()}
}

// note has the holdings know of the delivery, unless they are nil.
func (r *receipt) note(holdings Holdings) *receipt {
	if r.holdings = holdings; holdings != nil {
		holdings.Renewed(r.reply, r.renewedAt)
	}
	return r
}

// write has the server write down when the delivery was made: until its first renewal the state on
// the server's disk has the time at which the message was published in its place (deliverMsg and
// progressUpdate in consumer.go of NATS 2.15). Then a server that starts again gives away at once
// what has been on the queue for longer than a lease. If this gets lost, that is what it costs.
func (r *receipt) write() { _ = r.c.nc.Publish(r.reply, []byte("+WPI")) }

func (r *receipt) released() {
	if r.holdings != nil {
		r.holdings.Released(r.reply)
	}
}

// remaining returns how long the lease is certainly still ours.
func (r *receipt) remaining() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.renewedAt.Add(r.lease - r.lease/10))
}

// Extend renews the lease. After the lease ran out another process may hold the message: it returns
// pipeline.ErrLeaseLost.
func (r *receipt) Extend(ctx context.Context) error {
	left := r.remaining()
	if left <= 0 {
		return pipeline.ErrLeaseLost
	}
	var asked time.Time
	err := r.untilSent(ctx, left, func(ctx context.Context) error {
		asked = time.Now()
		if r.unconfirmed {
			return r.c.nc.Publish(r.reply, []byte("+WPI"))
		}
		return r.ask(ctx, r.lease/3, "+WPI")
	})
	if err != nil {
		return fmt.Errorf("extend the lease: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if asked.After(r.renewedAt) {
		r.renewedAt = asked
		if r.holdings != nil {
			r.holdings.Renewed(r.reply, asked)
		}
	}
	return nil
}

// Ack removes the message. It tries again while the server does not answer: an ack may be late,
// and be repeated.
func (r *receipt) Ack(ctx context.Context) error {
	if r.unconfirmed {
		if err := r.c.nc.Publish(r.reply, []byte("+ACK")); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
		return nil
	}
	backoff := outage.NewBackoff(50*time.Millisecond, 2*time.Second)
	for unanswered := 0; ; {
		err := r.ask(ctx, ackWithin, "+ACK")
		switch {
		case err == nil:
			r.released()
			return nil
		case isNoResponders(err): // the durable is gone
			unanswered++
		case isTimeout(err) && r.c.answers(ctx): // or was created again and does not know the delivery
			unanswered += 2 // a timeout takes long
		}
		if !isUnanswered(err) && !isNoResponders(err) || unanswered >= 4 {
			return fmt.Errorf("ack: %w", goneIf(err))
		}
		if err := backoff.Sleep(ctx); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
}

// HandBack gives the message to the next worker that asks, after a delay.
func (r *receipt) HandBack(ctx context.Context, delay time.Duration) error {
	return wrapped("hand back", r.decide(ctx, string(handBackBody(delay))))
}

// Reject removes a message that can never be used. The server reports the reason, at most 256 bytes
// of it.
func (r *receipt) Reject(ctx context.Context, reason string) error {
	return wrapped("reject", r.decide(ctx, "+TERM "+text.Shorten(text.OneLine(reason), 256)))
}

// decide sends what only the holder may send. Thousands of messages at a time leave no time for a
// round trip each.
func (r *receipt) decide(ctx context.Context, body string) error {
	if !r.unconfirmed {
		return r.settle(ctx, body)
	}
	if r.remaining() <= 0 {
		return pipeline.ErrLeaseLost
	}
	return r.c.nc.Publish(r.reply, []byte(body))
}

// settle does that and waits for the server's answer.
func (r *receipt) settle(ctx context.Context, body string) error {
	left := r.remaining()
	if left <= 0 {
		return pipeline.ErrLeaseLost
	}
	r.released() // it may have another holder as soon as this is sent
	err := r.untilSent(ctx, left, func(ctx context.Context) error { return r.ask(ctx, min(ackWithin, r.remaining()), body) })
	return goneIf(err)
}

// goneIf says what it means if the server does not hear how a delivery is settled.
func goneIf(err error) error {
	if isNoResponders(err) {
		return fmt.Errorf("%w on the stream: %w", pipeline.ErrNoRun, err)
	}
	return err
}

// untilSent repeats a request that was not sent because there is no connection, for as long as the
// lease is ours.
func (r *receipt) untilSent(ctx context.Context, left time.Duration, f func(context.Context) error) error {
	leased, cancel := context.WithTimeoutCause(ctx, left, pipeline.ErrLeaseLost)
	defer cancel()
	backoff := outage.NewBackoff(25*time.Millisecond, time.Second)
	for {
		err := f(leased)
		if err == nil || !isNotSent(err) && leased.Err() == nil {
			return err
		}
		if leased.Err() != nil || backoff.Sleep(leased) != nil {
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
