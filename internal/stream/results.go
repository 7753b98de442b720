package stream

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

const (
	fetchMost  = 256      // messages in one pull
	fetchBytes = 64 << 20 // of what they hold; a call takes no more above this, so that large answers do not fill the memory
)

// Results takes up to max messages for the store's side, and returns those that are there when
// wait is over. Messages that cannot be read have Err set. It returns ctx.Err() at once when ctx
// ends; what was on its way is handed back.
//
// The acks, rejections and extensions of these deliveries are sent in order and not confirmed one
// by one, which would cost a round trip each. One that is lost with its connection costs a second
// delivery, and the store absorbs that.
func (c *Conn) Results(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error) {
	until := time.Now().Add(wait)
	var all []pipeline.Delivery[pipeline.Results]
	for bytes, enough := 0, false; len(all) < max && !enough; {
		n := min(max-len(all), fetchMost)
		msgs, lease, err := c.fetch(ctx, c.sink, n, time.Until(until))
		pulled := time.Now()
		if err != nil && len(all) == 0 {
			return nil, fmt.Errorf("take results: %w", err)
		}
		for _, msg := range msgs {
			if enough = len(all) > 0 && (bytes >= fetchBytes || time.Since(pulled) > readFor(lease)); enough {
				_ = c.nc.Publish(msg.Reply, []byte("-NAK")) // not confirmed: should it be lost, the lease ends by itself
				continue
			}
			r := newReceipt(c, msg.Reply, lease)
			r.quick, r.since = true, pulled
			d := deliver(c, fetched(msg), r, "result", pipeline.DecodeResults,
				func(r pipeline.Results) (string, int) { return r.Run, r.Batch })
			bytes += textBytes(d.Body)
			all = append(all, d)
		}
		if err != nil || len(msgs) < n {
			break
		}
	}
	return all, nil
}

// readFor is how long the messages of one pull may take to be read. Their lease runs meanwhile,
// and who reads for longer than it could keep none of them: they would all come again, and again.
func readFor(lease time.Duration) time.Duration { return lease / 4 }

// textBytes returns how much memory answers take, whatever they took on the way.
func textBytes(r pipeline.Results) (n int) {
	for _, x := range r.Results {
		n += len(x.Text)
	}
	return n
}

// fetch makes one pull. If ctx ends first the pull is left to itself and what it gets is handed
// back.
func (c *Conn) fetch(ctx context.Context, d *durable, n int, wait time.Duration) ([]*nats.Msg, time.Duration, error) {
	lease, err := d.ensured(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := c.connected(ctx); err != nil {
		return nil, 0, err
	}
	f := &fetching{c: c, done: make(chan struct{})}
	if !c.spawn(func() { f.run(d, n, wait) }) {
		return nil, 0, errClosed()
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		f.abandon()
		return nil, 0, ctx.Err()
	}
	if len(f.msgs) > 0 || f.err == nil {
		return f.msgs, lease, nil
	}
	if isAbsent(f.err) || isNobody(f.err) {
		d.forget()
	}
	return nil, 0, f.err
}

// ensured returns the lease of a durable of the store's side. It is created again if somebody has
// deleted it.
func (d *durable) ensured(ctx context.Context) (lease time.Duration, err error) {
	handle := d.known()
	if handle == nil {
		handle, err = d.look(ctx)
	}
	if isAbsent(err) {
		if err = d.c.Ensure(ctx); err == nil {
			handle, err = d.look(ctx)
		}
	}
	if err != nil {
		return 0, err
	}
	return handle.CachedInfo().Config.AckWait, nil
}
