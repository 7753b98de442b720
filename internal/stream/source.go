package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// How a pull for work waits on the server. Both cost traffic.
const (
	// PullExpiry is how long a pull stays on the server before it has to be renewed.
	PullExpiry = 30 * time.Second
	// PullHeartbeat is how often the server says that a pull is still there. Two missed ones end
	// the pull, as when the server's leader died. nats.go wants two in a pull, and a busy machine
	// some slack.
	PullHeartbeat = 14 * time.Second
)

// A Source hands out the batches of a run. It may be used by many workers at once, each of which
// has a pull of its own.
//
// A pull is never cancelled, because the server may have answered it already: the message would
// wait for its lease to end. This is what happens to a pull instead:
//
//  1. pull takes over a detached pull, or sends a new one. Either way one worker waits for it.
//  2. If the worker's context ends first, detach leaves the pull on the server. If its answer has
//     come in the meantime, it is handed back at once.
//  3. The next worker that asks attaches itself to the detached pull (step 1).
//  4. If the answer of a detached pull comes before that, its own goroutine hands it back.
//  5. Closing the connection ends all pulls: the server forgets them, and no message can come.
//
// The mutex orders 2 to 4: a pull is either wanted, then its answer goes into its channel, or in
// the list of detached ones.
type Source struct {
	durable           *durable
	expiry, heartbeat time.Duration

	mu       sync.Mutex
	detached []*pull // pulls on the server that no worker waits for
}

// A pull is one request for one message, waiting on the server.
type pull struct {
	got    chan pulled // receives the answer while a worker wants it
	wanted bool        // guarded by the source's mu
}

type pulled struct {
	msg   jetstream.Msg
	err   error
	lease time.Duration
}

// Next waits for the next batch, and until the run exists. It returns ctx.Err() at once when ctx
// ends; then the pull stays on the server, and its message goes to the next call or is handed back.
// A missing permission is a Fatal failure, a closed connection an Interrupted one.
func (s *Source) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	var none pipeline.Delivery[pipeline.Work]
	backoff := newDurableBackoff()
	for {
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		p, err := s.pull(ctx)
		if err != nil {
			return none, err
		}
		var got pulled
		select {
		case <-ctx.Done():
			s.detach(p)
			return none, ctx.Err()
		case got = <-p.got:
		}
		if got.err == nil {
			return s.deliver(got), nil
		}
		if err := s.durable.awaitRetry(ctx, got.err, backoff); err != nil {
			return none, err
		}
	}
}

func (s *Source) deliver(got pulled) pipeline.Delivery[pipeline.Work] {
	c := s.durable.c
	return deliver(c.codec, jetstreamMessage(got.msg), newReceipt(c, got.msg.Reply(), got.lease), format[pipeline.Work]{
		kind: "work", decode: pipeline.DecodeWork, batch: func(w pipeline.Work) (string, int) { return w.Run, w.Batch },
	})
}

// pull takes over a detached pull, or sends one.
func (s *Source) pull(ctx context.Context) (*pull, error) {
	if p := s.attach(); p != nil {
		return p, nil
	}
	handle, lease, err := s.durable.find(ctx)
	if err != nil {
		return nil, err
	}
	// A pull that is sent without a connection fails at once, and nats.go would keep its
	// subscription for good.
	if err := s.durable.c.connected(ctx); err != nil {
		return nil, err
	}
	p := &pull{got: make(chan pulled, 1), wanted: true}
	if !s.durable.c.spawn(func() { s.run(p, handle, lease) }) {
		return nil, errClosed()
	}
	return p, nil
}

// run waits for a pull's answer. Its context ends only when the connection is lost or closed, or
// the server refused the pull: then no message can come.
func (s *Source) run(p *pull, handle jetstream.Consumer, lease time.Duration) {
	c := s.durable.c
	ctx, done := c.pending.watch(c.lifetime, "$JS.API.CONSUMER.MSG.NEXT."+WorkStream+"."+s.durable.name)
	defer done()
	got := pulled{lease: lease}
	got.msg, got.err = handle.Next(jetstream.FetchContext(pullContext(ctx, s.expiry)), jetstream.FetchHeartbeat(s.heartbeat))
	if cause := watchCause(ctx); got.err != nil && cause != nil {
		got.err = cause
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if p.wanted {
		p.got <- got
		return
	}
	if i := slices.Index(s.detached, p); i >= 0 {
		s.detached = slices.Delete(s.detached, i, i+1)
	}
	handBack(got)
}

// pullContext returns a context with which nats.go asks the server to end a pull after this time,
// and waits for that itself: the context does not end by then, only when its parent does.
func pullContext(parent context.Context, expires time.Duration) context.Context {
	// nats.go takes a tenth off the time that is left, at most a second.
	left := min(expires*10/9+time.Millisecond, expires+time.Second+time.Millisecond)
	return deadlineOnly{parent, time.Now().Add(left)}
}

type deadlineOnly struct {
	context.Context
	deadline time.Time
}

func (d deadlineOnly) Deadline() (time.Time, bool) { return d.deadline, true }

// detach leaves a pull on the server that no worker waits for any more.
func (s *Source) detach(p *pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case got := <-p.got:
		handBack(got)
	default:
		p.wanted = false
		s.detached = append(s.detached, p)
	}
}

// attach takes over the oldest detached pull, or returns nil.
func (s *Source) attach() *pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.detached) == 0 {
		return nil
	}
	p := s.detached[0]
	s.detached = s.detached[1:]
	p.wanted = true
	return p
}

// handBack returns a message that was delivered this moment. It is not confirmed: if it gets lost,
// the lease ends by itself.
func handBack(got pulled) {
	if got.err == nil {
		_ = got.msg.Nak()
	}
}
