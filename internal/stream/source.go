package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	defaultPullFor   = 30 * time.Second // how long a pull stays on the server; it costs traffic to renew it
	defaultHeartbeat = 14 * time.Second // nats.go wants two in a pull, and some slack on a busy machine; two missed and the pull is given up, as when the server's leader died; each costs traffic
)

// A Source hands out the batches of a run. It may be used by many workers at once, each has its
// own pull.
type Source struct {
	durable *durable

	mu     sync.Mutex
	parked []*pull // that nobody waits for; the next who asks takes one over
}

// Work returns the batches of a run, which need not be there yet.
func (c *Conn) Work(run string) *Source {
	return &Source{durable: &durable{c: c, stream: WorkStream, name: run, looking: make(chan struct{}, 1)}}
}

// A pull is one request for one message, waiting on the server.
type pull struct {
	got    chan pulled // one, while it is wanted
	wanted bool        // guarded by the source's mu
}

type pulled struct {
	msg   jetstream.Msg
	err   error
	lease time.Duration
}

// Next waits for the next batch, and for the run to be there. It returns ctx.Err() at once when
// ctx ends; then the pull stays on the server, and what it still gets goes to the next call or is
// handed back. A missing permission is a Fatal failure, a closed connection an Interrupted one.
func (s *Source) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	var none pipeline.Delivery[pipeline.Work]
	wait := newWait(50*time.Millisecond, 5*time.Second)
	for {
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		p, err := s.ask(ctx)
		if err != nil {
			return none, err
		}
		var got pulled
		select {
		case <-ctx.Done():
			s.park(p)
			return none, ctx.Err()
		case got = <-p.got:
		}
		if got.err == nil {
			return deliver(s.durable.c, taken(got.msg), newReceipt(s.durable.c, got.msg.Reply(), got.lease), "work", pipeline.DecodeWork,
				func(w pipeline.Work) (string, int) { return w.Run, w.Batch }), nil
		}
		if err := s.durable.react(ctx, got.err, wait); err != nil {
			return none, err
		}
	}
}

// ask takes over a parked pull, or sends one.
func (s *Source) ask(ctx context.Context) (*pull, error) {
	if p := s.unpark(); p != nil {
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
	ctx, done := c.waits.watch(c.life, "$JS.API.CONSUMER.MSG.NEXT."+WorkStream+"."+s.durable.name)
	defer done()
	got := pulled{lease: lease}
	got.msg, got.err = handle.Next(jetstream.FetchContext(pullContext(ctx, c.pullFor)), jetstream.FetchHeartbeat(c.heartbeat))
	if cause := ended(ctx); got.err != nil && cause != nil {
		got.err = cause
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if p.wanted {
		p.got <- got
		return
	}
	for i := range s.parked {
		if s.parked[i] == p {
			s.parked = append(s.parked[:i], s.parked[i+1:]...)
			break
		}
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

// park leaves a pull on the server that nobody waits for any more.
func (s *Source) park(p *pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case got := <-p.got:
		handBack(got)
	default:
		p.wanted = false
		s.parked = append(s.parked, p)
	}
}

func (s *Source) unpark() *pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parked) == 0 {
		return nil
	}
	p := s.parked[0]
	s.parked = s.parked[1:]
	p.wanted = true
	return p
}

// handBack returns a message that was delivered this moment. It is not confirmed: should it be
// lost, the lease ends by itself.
func handBack(got pulled) {
	if got.err == nil {
		_ = got.msg.Nak()
	}
}

// A durable is one of JetStream's durables, looked up when it is first needed and again when it
// has gone.
type durable struct {
	c            *Conn
	stream, name string
	looking      chan struct{} // a lock that one can stop waiting for: one of many workers looks

	mu     sync.Mutex
	handle jetstream.Consumer
	found  time.Time

	waiting, trouble outage.Reporter // what is logged once
}

// A lease may be changed while workers run; it is read again at this interval.
const lookAgain = 5 * time.Minute

// find returns the durable and its lease, and waits for it to be there.
func (d *durable) find(ctx context.Context) (jetstream.Consumer, time.Duration, error) {
	select {
	case d.looking <- struct{}{}:
		defer func() { <-d.looking }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	wait := newWait(50*time.Millisecond, 5*time.Second)
	for {
		if handle := d.known(); handle != nil {
			return handle, handle.CachedInfo().Config.AckWait, nil
		}
		_, err := d.look(ctx)
		if err == nil {
			continue
		}
		if err := d.react(ctx, err, wait); err != nil {
			return nil, 0, err
		}
	}
}

func (d *durable) known() jetstream.Consumer {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.found) > lookAgain {
		d.handle = nil
	}
	return d.handle
}

func (d *durable) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handle = nil
}

// look asks for the durable's info, which does not create it.
func (d *durable) look(ctx context.Context) (handle jetstream.Consumer, err error) {
	err = d.c.call(ctx, "$JS.API.CONSUMER.INFO."+d.stream+"."+d.name, 5*time.Second, func(ctx context.Context) (err error) {
		handle, err = d.c.js.Consumer(ctx, d.stream, d.name)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handle, d.found = handle, time.Now()
	if d.trouble.Ends() {
		d.c.log.Info("batches can be taken again", zap.String("run", d.name))
	}
	if d.waiting.Ends() {
		d.c.log.Info("the run is there", zap.String("run", d.name))
	}
	return handle, nil
}

// react decides what an error of a pull or a look-up means: it returns nil when the next try may
// be made, and waits before it does unless the pull just ran out.
func (d *durable) react(ctx context.Context, err error, wait *wait) error {
	var failure *pipeline.Failure
	switch {
	case d.c.life.Err() != nil:
		return errClosed()
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failure):
		return fmt.Errorf("next batch of run %s: %w", d.name, err)
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoMessages):
		return nil
	case isAbsent(err):
		d.forget()
		if d.waiting.Begins(err) {
			d.c.log.Info("waiting for the run", zap.String("run", d.name))
		}
	case isNobody(err):
		d.forget()
	case isAway(err):
	case d.trouble.Begins(err):
		d.c.log.Warn("cannot take batches, trying again until it works", zap.String("run", d.name), zap.Error(err))
	}
	if wait.next(ctx) != nil {
		return ctx.Err()
	}
	return nil
}
