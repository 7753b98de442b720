package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"gleaner/internal/pipeline"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func isAuth(err error) bool {
	for _, target := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrNkeysNotSupported, nats.ErrNkeyButNoSigCB, nats.ErrNoUserCB, nats.ErrUserButNoSigCB,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// isAway says that the request did not get through, or its answer did not: it may be sent again.
func isAway(err error) bool {
	for _, target := range []error{
		nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrStaleConnection,
		jetstream.ErrServerShutdown, jetstream.ErrConsumerLeadershipChanged, jetstream.ErrNoHeartbeat,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var api *jetstream.APIError
	return isTimeout(err) || errors.As(err, &api) && api.Code == 503
}

// isNotSent says that the request did not leave this process, since there is no connection.
func isNotSent(err error) bool {
	return errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting)
}

func isNobody(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// isAbsent says that the durable or its stream is not there.
func isAbsent(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrConsumerDoesNotExist) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// code returns JetStream's number of an error, or 0.
func code(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// waits are the calls whose answer may never come: the server reports a missing permission beside
// the conversation, not as the answer, and an answer is lost with the connection it was to come
// on.
type waits struct {
	mu  sync.Mutex
	all map[*waiting]struct{}
}

type waiting struct {
	prefix string // of the subjects published to
	cancel context.CancelCauseFunc
}

var deniedSubject = regexp.MustCompile(`(?i)(publish|subscription) to "([^"\s]+)"?`)

// deny ends the waits that a missing permission concerns.
func (w *waits) deny(err error) {
	m := deniedSubject.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	subscribing := strings.EqualFold(m[1], "subscription") // to an inbox: no answer reaches anybody
	denied := pipeline.Fail(pipeline.Fatal, "%w: give this NATS user the permission, or use another user's credentials", err)
	w.end(denied, func(prefix string) bool { return subscribing || strings.HasPrefix(m[2], prefix) })
}

// cut ends all waits because the connection is lost.
func (w *waits) cut() { w.end(nats.ErrDisconnected, func(string) bool { return true }) }

func (w *waits) end(cause error, concerns func(prefix string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.all {
		if concerns(x.prefix) {
			x.cancel(cause)
		}
	}
}

// watch returns a context that also ends when the server refuses a publish to a subject with this
// prefix, or the connection is lost.
func (w *waits) watch(ctx context.Context, prefix string) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &waiting{prefix, cancel}
	w.mu.Lock()
	if w.all == nil {
		w.all = map[*waiting]struct{}{}
	}
	w.all[x] = struct{}{}
	w.mu.Unlock()
	return ctx, func() {
		w.mu.Lock()
		delete(w.all, x)
		w.mu.Unlock()
		cancel(nil)
	}
}

// ended returns why a watched context ended before its parent, or nil.
func ended(ctx context.Context) error {
	var f *pipeline.Failure
	if cause := context.Cause(ctx); errors.As(cause, &f) || errors.Is(cause, nats.ErrDisconnected) {
		return cause
	}
	return nil
}

// call makes one call within a time. It ends when the server refuses it or the connection is
// lost, and says so.
func (c *Conn) call(ctx context.Context, prefix string, within time.Duration, f func(context.Context) error) error {
	watched, done := c.waits.watch(ctx, prefix)
	defer done()
	timed, cancel := context.WithTimeout(watched, within)
	defer cancel()
	err := f(timed)
	switch {
	case err == nil:
		return nil
	case isNotSent(err):
		return err
	case ended(watched) != nil:
		return ended(watched)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrConnectionClosed):
		return errClosed()
	case isWithout(err):
		return pipeline.Fail(c.withoutJetStream(), "%w: start the NATS server with JetStream (-js), or use an account that has it", err)
	}
	return err
}

func isWithout(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// withoutJetStream returns the class of its absence: where it has worked before it was taken
// away, and can come back.
func (c *Conn) withoutJetStream() pipeline.Class {
	if c.worked.Load() {
		return pipeline.Retryable
	}
	return pipeline.Fatal
}

// api makes a call to JetStream's API and tries again, for a while, if the answer does not come.
// If it still does not that is a Retryable failure.
func (c *Conn) api(ctx context.Context, f func(context.Context) error) error {
	wait := newWait(100*time.Millisecond, time.Second)
	for tries := 1; ; tries++ {
		err := c.call(ctx, "$JS.API.", 5*time.Second, f)
		switch {
		case err == nil:
			c.worked.Store(true)
			return nil
		case !isAway(err) && !isNobody(err):
			return err
		case tries == 4:
			return pipeline.Fail(pipeline.Retryable, "%w: %s", err, c.whyAway())
		}
		if wait.next(ctx) != nil {
			return ctx.Err()
		}
	}
}

// whyAway says what a person can do about a server that does not answer.
func (c *Conn) whyAway() string {
	if !c.nc.IsConnected() {
		return "there is no connection to the NATS server at present; is it running?"
	}
	return "the NATS server is there, but its JetStream does not answer; is it starting, is its disk full?"
}

func errClosed() error {
	return pipeline.Fail(pipeline.Interrupted, "the connection to NATS is closed: %w", nats.ErrConnectionClosed)
}

// A wait is the time between two tries, longer each time, with jitter so that many processes do
// not come at once.
type wait struct{ b *backoff.ExponentialBackOff }

func newWait(first, longest time.Duration) *wait {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = first, longest
	return &wait{b}
}

// next waits, or returns an error when ctx ends first.
func (w *wait) next(ctx context.Context) error { return sleep(ctx, w.b.NextBackOff()) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// size prints bytes as a person reads them.
func size(bytes int64) string {
	switch {
	case bytes >= 1<<30 && bytes%(1<<20) == 0 || bytes >= 10<<30:
		return fmt.Sprintf("%.4g GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.4g MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.4g KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
