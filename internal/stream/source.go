package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How a pull for work waits on the server. Each renewal and each heartbeat costs traffic.
const (
	// PullExpiry is how long a pull stays on the server before it has to be renewed.
	PullExpiry = 2 * time.Minute
	// PullHeartbeat is how often the server says that a pull is still there. Two missed ones end
	// the pull, as when the server's leader died. A connection that is dead is found sooner, by its
	// pings.
	PullHeartbeat = 30 * time.Second
)

// A Source hands out the batches of a run to the workers of one GPU. It asks the server for what
// the workers that wait can take, in a few pulls, each of which has places for many messages.
//
// A pull is never cancelled, because the server may have answered it already: the message would
// wait for its lease to end. These are the rules:
//
//  1. There are at most pipeline.PullsEach pulls, and together they have at most as many places as
//     workers wait. Without work there is one: what expired with no message is renewed when no
//     other pull is left, for all who wait by then.
//  2. A message goes to the worker that has waited the longest.
//  3. A worker may stop waiting, and its place stays on the server. The next one that waits uses
//     it. A message for which no worker waits is handed back.
//  4. A pull is given up on when two heartbeats are missed or the connection is lost. What has
//     come on it by then counts.
//  5. Closing the connection ends all pulls: the server forgets them, and no message can come.
type Source struct {
	durable           *durable
	expiry, heartbeat time.Duration
	holdings          Holdings // nil: none

	mu      sync.Mutex
	waiting []*waiter // the longest first
	pulls   []*pull
	open    int  // places of all pulls
	quiet   bool // the last that came of a pull was that it expired with no message
}

// A waiter is a worker that waits for a batch.
type waiter struct{ got chan pulled }

// pulled is what a worker gets.
type pulled struct {
	msg     *nats.Msg
	receipt *receipt
	err     error
}

// A pull is one request for messages, waiting on the server or about to be sent.
type pull struct { // guarded by the source's mu
	places int // messages that may still come
	sent   bool
}

// Next waits for the next batch, and until the run exists. It returns ctx.Err() at once when ctx
// ends. A missing permission is a Fatal failure, a closed connection an Interrupted one.
func (s *Source) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	var none pipeline.Delivery[pipeline.Work]
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	w := &waiter{got: make(chan pulled, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.fill()
	s.mu.Unlock()
	select {
	case got := <-w.got:
		if got.err != nil {
			return none, got.err
		}
		return s.deliver(got), nil
	case <-ctx.Done():
		s.leave(w)
		return none, ctx.Err()
	}
}

// leave takes a worker off the list. If a message came for it at the same moment, that goes to
// another one.
func (s *Source) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, w); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return
	}
	if got := <-w.got; got.err == nil {
		s.give(got)
	}
}

// Note has the source say which batches it holds. It is called before the first batch is taken.
func (s *Source) Note(holdings Holdings) *Source {
	s.holdings = holdings
	return s
}

func (s *Source) deliver(got pulled) pipeline.Delivery[pipeline.Work] {
	return deliver(s.durable.c.codec, natsMessage(got.msg), got.receipt.note(s.holdings), format[pipeline.Work]{
		kind: "work", decode: pipeline.DecodeWork, batch: func(w pipeline.Work) (string, int) { return w.Run, w.Batch },
	})
}

// fill begins pulls for the workers that have no place. The caller holds mu.
func (s *Source) fill() {
	for len(s.pulls) < pipeline.PullsEach && len(s.waiting) > s.open && !(s.quiet && len(s.pulls) > 0) {
		p := &pull{places: min(len(s.waiting)-s.open, pipeline.PullPlaces)}
		s.pulls, s.open = append(s.pulls, p), s.open+p.places
		if !s.durable.c.spawn(func() { s.run(p) }) {
			s.end(p)
			s.fail(errClosed())
		}
	}
}

// fit gives a pull that is about to be sent as many places as workers have none in those that were
// sent, and at most this many: so of several that are about to be sent the first one takes all. It
// returns how many.
func (s *Source) fit(p *pull, most int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := len(s.waiting)
	for _, other := range s.pulls {
		if other.sent && other != p {
			free -= other.places
		}
	}
	s.open -= p.places
	p.places, p.sent = max(0, min(free, most)), true
	s.open += p.places
	return p.places
}

// end removes a pull. The caller holds mu.
func (s *Source) end(p *pull) {
	s.pulls = slices.DeleteFunc(s.pulls, func(other *pull) bool { return other == p })
	s.open -= p.places
	p.places = 0
}

// fail tells all who wait that there will be nothing. The caller holds mu.
func (s *Source) fail(err error) {
	for _, w := range s.waiting {
		w.got <- pulled{err: err}
	}
	s.waiting = nil
}

// give hands a message to the worker that has waited the longest, or back. The caller holds mu.
func (s *Source) give(got pulled) {
	if len(s.waiting) == 0 {
		s.durable.c.handBackAfter(got.msg, unwantedRest(natsMessage(got.msg).deliveries))
		return
	}
	s.waiting[0].got <- got
	s.waiting = s.waiting[1:]
}

// unwantedRest is how long a message rests for which no worker waited. At first it goes to the next
// pull at once. After that the next pull may be one of the same GPU: while that has no worker that
// asks, the message would use up its deliveries in a moment.
func unwantedRest(deliveries int) time.Duration {
	const few, soon, first, most = 10, time.Second, 5 * time.Second, 30 * time.Second
	switch {
	case deliveries < 2:
		return 0
	case deliveries < few:
		return soon
	}
	return min(first<<min(deliveries-few, 10), most)
}

// run sends a pull and takes what comes on it, again after an error, until it has ended.
func (s *Source) run(p *pull) {
	d := s.durable
	backoff := newDurableBackoff()
	var fatal error
	for fatal == nil {
		err := s.once(p)
		if err == nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
			break
		}
		s.mu.Lock()
		p.sent = false
		s.mu.Unlock()
		if fatal = d.awaitRetry(d.c.lifetime, err, backoff); d.c.lifetime.Err() != nil {
			fatal = errClosed()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(p)
	if fatal != nil {
		s.fail(fatal)
		return
	}
	s.fill()
}

// once sends a pull and takes what comes on it. It returns nil when the pull has ended as it
// should, or is not needed any more.
func (s *Source) once(p *pull) error {
	d := s.durable
	found, err := d.find(d.c.lifetime)
	if err != nil {
		return err
	}
	// A pull that is sent without a connection fails at once.
	if err := d.c.connected(d.c.lifetime); err != nil {
		return err
	}
	most := pipeline.PullPlaces
	if found.MaxRequestBatch > 0 {
		most = min(most, found.MaxRequestBatch)
	}
	places := s.fit(p, most)
	if places == 0 {
		return nil
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + WorkStream + "." + d.name
	ctx, release := d.c.pending.watch(d.c.lifetime, subject)
	defer release()
	sub, err := d.c.nc.SubscribeSync(d.c.nc.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only without a connection, which ends it, too
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err // the places are the limit
	}
	body, err := json.Marshal(map[string]any{"batch": places, "expires": s.expiry, "idle_heartbeat": s.heartbeat})
	if err != nil {
		return err
	}
	if err := d.c.nc.PublishRequest(subject, sub.Subject, body); err != nil {
		return err
	}
	err = s.receive(ctx, p, sub, found.AckWait)
	for { // what has come is held by this process, whatever has ended the pull
		msg, late := sub.NextMsg(time.Nanosecond)
		if late != nil {
			break
		}
		if msg.Reply != "" {
			s.arrive(p, msg, found.AckWait)
		}
	}
	if cause := watchCause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// receive takes what comes on a pull until it has ended.
func (s *Source) receive(ctx context.Context, p *pull, sub *nats.Subscription, lease time.Duration) error {
	alive := false // the server has said something
	for {
		timed, cancel := context.WithTimeout(ctx, 2*s.heartbeat)
		msg, err := sub.NextMsgWithContext(timed)
		cancel()
		switch {
		case err != nil && ctx.Err() != nil:
			return errClosed() // unless the watch has another cause
		case errors.Is(err, context.DeadlineExceeded) && !alive:
			return fmt.Errorf("the server takes no pull of run %s: %w; %d pulls may wait for work at a time, one or more for each GPU without work", s.durable.name, errUnheard, pipeline.WaitingPulls)
		case errors.Is(err, context.DeadlineExceeded):
			return jetstream.ErrNoHeartbeat
		case err != nil:
			return err
		}
		alive = true
		if msg.Reply != "" { // messages have a subject for their acks, what the server itself says has none
			if s.arrive(p, msg, lease) == 0 {
				return nil
			}
			continue
		}
		switch status := msg.Header.Get("Status"); {
		case isHeartbeat(msg):
			s.durable.failing.Observe(nil)
		case status == "408": // it has expired
			s.expired(p)
			return nil
		case status == "409" && strings.Contains(msg.Header.Get("Description"), "Exceeded MaxRequestBatch"):
			s.durable.forget() // an earlier program made it, and lets a pull ask for less
			return nats.ErrTimeout
		default:
			if err := endOfPull(msg); err != nil {
				return err
			}
			return nil
		}
	}
}

// errUnheard is that a server does not say anything about a pull. That is what it does when there
// are too many.
var errUnheard = errors.New("no answer")

// arrive takes in a message, and returns how many more may come on its pull.
func (s *Source) arrive(p *pull, msg *nats.Msg, lease time.Duration) (left int) {
	got := pulled{msg: msg, receipt: newReceipt(s.durable.c, msg.Reply, lease)}
	got.receipt.write()
	s.durable.failing.Observe(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.places > 0 {
		p.places--
		s.open--
	}
	s.quiet = false
	s.give(got)
	s.fill()
	return p.places
}

// expired takes in that a pull ended with places left.
func (s *Source) expired(p *pull) {
	s.durable.failing.Observe(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = true
}
