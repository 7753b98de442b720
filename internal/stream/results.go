package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	fetchMost  = 256      // messages in one pull
	fetchBytes = 64 << 20 // as they travelled; a call takes no further pull above this, so that large answers do not fill the memory
)

// Results takes up to max messages for the store's side, and returns those that are there when wait is over. Messages
// that cannot be read have Err set. It returns ctx.Err() at once when ctx ends; what was on its way is handed back.
//
// The acks and extensions of these deliveries are sent in order and not confirmed one by one, which would cost a round
// trip each. One that is lost with its connection costs a second delivery, and the store absorbs that.
func (c *Conn) Results(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error) {
	until := time.Now().Add(wait)
	var all []pipeline.Delivery[pipeline.Results]
	for bytes := 0; len(all) < max && bytes < fetchBytes; {
		n := min(max-len(all), fetchMost)
		msgs, lease, err := c.fetch(ctx, n, time.Until(until))
		if err != nil && len(all) == 0 {
			return nil, fmt.Errorf("take results: %w", err)
		}
		for _, msg := range msgs {
			r := newReceipt(c, msg, lease)
			r.quick = true
			bytes += len(msg.Data())
			all = append(all, deliver(c, msg, r, "result", pipeline.DecodeResults,
				func(r pipeline.Results) (string, int) { return r.Run, r.Batch }))
		}
		if err != nil || len(msgs) < n {
			break
		}
	}
	return all, nil
}

// fetch makes one pull. If ctx ends first the pull is left to itself and what it gets is handed back.
func (c *Conn) fetch(ctx context.Context, n int, wait time.Duration) ([]jetstream.Msg, time.Duration, error) {
	handle, lease, err := c.sinkDurable(ctx)
	if err != nil {
		return nil, 0, err
	}
	// A pull that is sent without a connection fails at once, and nats.go would keep its subscription for good.
	if err := c.connected(ctx); err != nil {
		return nil, 0, err
	}
	f := &fetching{done: make(chan struct{})}
	if !c.spawn(func() { f.run(c, handle, n, wait) }) {
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
		c.sink.forget()
	}
	return nil, 0, f.err
}

// sinkDurable returns the durable of the results, which is created again if somebody has deleted it.
func (c *Conn) sinkDurable(ctx context.Context) (handle jetstream.Consumer, lease time.Duration, err error) {
	handle = c.sink.known()
	if handle == nil {
		handle, err = c.sink.look(ctx)
	}
	if isAbsent(err) {
		if err = c.Ensure(ctx); err == nil {
			handle, err = c.sink.look(ctx)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return handle, handle.CachedInfo().Config.AckWait, nil
}

// A fetching is a pull of many messages that its caller may abandon.
type fetching struct {
	done chan struct{}   // closed when the pull has ended
	msgs []jetstream.Msg // read them after done
	err  error

	mu        sync.Mutex
	abandoned bool
}

func (f *fetching) run(c *Conn, handle jetstream.Consumer, n int, wait time.Duration) {
	ctx, release := c.waits.watch(c.life, "$JS.API.CONSUMER.MSG.NEXT."+ResultsStream)
	defer release()
	var batch jetstream.MessageBatch
	var err error
	if wait > 0 {
		batch, err = handle.Fetch(n, jetstream.FetchContext(pullContext(ctx, wait)))
	} else {
		batch, err = handle.FetchNoWait(n)
	}
	if err == nil {
		for msg := range batch.Messages() {
			f.add(msg)
		}
		err = batch.Error()
	}
	if cause := ended(ctx); cause != nil {
		err = cause
	}
	f.end(err)
}

func (f *fetching) add(msg jetstream.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.msgs = append(f.msgs, msg)
	f.handBackIfAbandoned()
}

func (f *fetching) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	close(f.done)
}

func (f *fetching) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = true
	f.handBackIfAbandoned()
}

func (f *fetching) handBackIfAbandoned() {
	if !f.abandoned {
		return
	}
	for _, msg := range f.msgs {
		_ = msg.Nak() // not confirmed: should it be lost, the lease ends by itself
	}
	f.msgs = nil
}
