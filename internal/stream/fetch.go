package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A fetching is a pull of many messages that its caller may abandon. It is made here and not by
// nats.go, which takes a message with no content and a header "Status" for the server's own word
// and ends the pull: a consumer could send such ones, and what else the pull had got would wait
// for its lease to end, again and again.
type fetching struct {
	c    *Conn
	done chan struct{} // closed when the pull has ended
	msgs []*nats.Msg   // read them after done
	err  error

	mu        sync.Mutex
	abandoned bool
}

// answerWithin is how much later than asked for the server may end a pull.
const answerWithin = 5 * time.Second

func (f *fetching) run(d *durable, n int, wait time.Duration) {
	subject := "$JS.API.CONSUMER.MSG.NEXT." + d.stream + "." + d.name
	ctx, release := f.c.waits.watch(f.c.life, subject)
	defer release()
	timed, cancel := context.WithTimeout(ctx, max(0, wait)+answerWithin)
	defer cancel()
	err := f.pull(timed, subject, n, wait)
	switch cause := ended(ctx); {
	case cause != nil:
		err = cause
	case ctx.Err() != nil:
		err = errClosed()
	case timed.Err() != nil:
		err = fmt.Errorf("the server does not answer a pull: %w", nats.ErrTimeout)
	}
	f.end(err)
}

func (f *fetching) pull(ctx context.Context, subject string, n int, wait time.Duration) error {
	inbox := f.c.nc.NewInbox()
	sub, err := f.c.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails with the connection only, and then it is gone
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err // n messages are the limit
	}
	request := map[string]any{"batch": n, "no_wait": true}
	if wait > 0 {
		request = map[string]any{"batch": n, "expires": wait}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := f.c.nc.PublishRequest(subject, inbox, body); err != nil {
		return err
	}
	for range n {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		if msg.Reply == "" { // the server's own: messages have a subject for their acks
			return endOfPull(msg)
		}
		f.add(msg)
	}
	return nil
}

// endOfPull returns what the server's last word to a pull means.
func endOfPull(msg *nats.Msg) error {
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	is := func(text string) bool { return strings.Contains(strings.ToLower(description), text) }
	switch {
	case status == "404" || status == "408": // there are no more; the time is over
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

func (f *fetching) add(msg *nats.Msg) {
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
		_ = f.c.nc.Publish(msg.Reply, []byte("-NAK")) // not confirmed: should it be lost, the lease ends by itself
	}
	f.msgs = nil
}
