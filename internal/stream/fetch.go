package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A fetch is a pull of many messages that its caller may abandon. It is not cancelled then: what it
// still gets is handed back. It is made here and not by nats.go, which takes a message with no
// content and a header "Status" for the server's own status and ends the pull: a consumer could
// send such messages, and what else the pull had got would wait for its lease to end, again and
// again.
type fetch struct {
	c    *client
	done chan struct{} // closed when the pull has ended
	msgs []*nats.Msg   // read them after done
	err  error

	mu        sync.Mutex
	abandoned bool
}

// answerWithin is how much later than asked for the server may end a pull.
const answerWithin = 5 * time.Second

// fetch makes one pull and returns its messages and their lease. If ctx ends first the pull is
// abandoned.
func (d *durable) fetch(ctx context.Context, n int, wait time.Duration) ([]*nats.Msg, time.Duration, error) {
	lease, err := d.findPrepared(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := d.c.connected(ctx); err != nil {
		return nil, 0, err
	}
	f := &fetch{c: d.c, done: make(chan struct{})}
	if !d.c.spawn(func() { f.run(d, n, wait) }) {
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
	if isAbsent(f.err) || isNoResponders(f.err) {
		d.forget()
	}
	return nil, 0, f.err
}

func (f *fetch) run(d *durable, n int, wait time.Duration) {
	subject := "$JS.API.CONSUMER.MSG.NEXT." + d.stream + "." + d.name
	ctx, release := f.c.pending.watch(f.c.lifetime, subject)
	defer release()
	timed, cancel := context.WithTimeout(ctx, max(0, wait)+answerWithin)
	defer cancel()
	err := f.pull(timed, subject, n, wait)
	switch cause := watchCause(ctx); {
	case cause != nil:
		err = cause
	case ctx.Err() != nil:
		err = errClosed()
	case timed.Err() != nil:
		err = fmt.Errorf("the server does not answer a pull: %w", nats.ErrTimeout)
	}
	f.end(err)
}

func (f *fetch) pull(ctx context.Context, subject string, n int, wait time.Duration) error {
	inbox := f.c.nc.NewInbox()
	sub, err := f.c.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only without a connection, which ends it, too
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err // n messages are the limit
	}
	request := map[string]any{"batch": n, "no_wait": true}
	silence := wait + answerWithin // after which the pull is gone
	switch {
	case wait > 2*f.c.heartbeat:
		request = map[string]any{"batch": n, "expires": wait, "idle_heartbeat": f.c.heartbeat}
		silence = 2 * f.c.heartbeat
	case wait > 0:
		request = map[string]any{"batch": n, "expires": wait}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := f.c.nc.PublishRequest(subject, inbox, body); err != nil {
		return err
	}
	for got := 0; got < n; {
		timed, cancel := context.WithTimeout(ctx, silence)
		msg, err := sub.NextMsgWithContext(timed)
		cancel()
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return jetstream.ErrNoHeartbeat
		case err != nil:
			return err
		case msg.Reply != "": // messages have a subject for their acks, what the server itself says has none
			f.add(msg)
			got++
		case !isHeartbeat(msg):
			return endOfPull(msg)
		}
	}
	return nil
}

// isHeartbeat reports whether a message without a reply says that its pull is still there.
func isHeartbeat(msg *nats.Msg) bool { return msg.Header.Get("Status") == "100" }

// endOfPull returns the error that the status stands for with which the server ends a pull.
func endOfPull(msg *nats.Msg) error {
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	is := func(text string) bool { return strings.Contains(strings.ToLower(description), text) }
	switch {
	case status == "404" || status == "408": // there are no more; it has expired
		return nil
	case status == "503":
		return nats.ErrNoResponders
	case status == "409" && is("consumer deleted"):
		return jetstream.ErrConsumerDeleted
	case status == "409" && is("leadership change"):
		return jetstream.ErrConsumerLeadershipChanged
	case status == "409" && is("server shutdown"):
		return jetstream.ErrServerShutdown
	}
	return fmt.Errorf("the server ends a pull: %.32q %.128q", status, description)
}

func (f *fetch) add(msg *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.msgs = append(f.msgs, msg)
	f.handBackIfAbandoned()
}

func (f *fetch) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	close(f.done)
}

func (f *fetch) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = true
	f.handBackIfAbandoned()
}

func (f *fetch) handBackIfAbandoned() {
	if !f.abandoned {
		return
	}
	for _, msg := range f.msgs {
		f.c.handBack(msg)
	}
	f.msgs = nil
}

// handBack returns a message that was delivered this moment. It is not confirmed: if it gets lost,
// the lease ends by itself.
func (c *client) handBack(msg *nats.Msg) { c.handBackAfter(msg, 0) }

// handBackAfter does that, for the time after a rest.
func (c *client) handBackAfter(msg *nats.Msg, rest time.Duration) {
	_ = c.nc.Publish(msg.Reply, handBackBody(rest))
}

// handBackBody is what hands a message back.
func handBackBody(rest time.Duration) []byte {
	if rest <= 0 {
		return []byte("-NAK")
	}
	return fmt.Appendf(nil, `-NAK {"delay": %d}`, rest.Nanoseconds())
}
