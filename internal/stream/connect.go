package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// PingEvery is how often this side asks whether the connection is alive. One that is dead is
	// found after the pings that may be without an answer, and one interval more: 15 s.
	PingEvery        = 5 * time.Second
	pingsOutstanding = 2
)

// A connector makes the connection of a client, and reacts to what happens to it.
type connector struct {
	cfg    Config
	client *client
	creds  *refresher // nil: none

	reports outage.Reporter // what the server says beside the conversation
	once    sync.Once       // closes the client's handlersDone
}

// dial tries until there is a connection, the time is over, or trying again cannot help.
func dial(ctx context.Context, cfg Config) (*client, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	c := &client{
		log: cfg.Log, codec: codec, handlersDone: make(chan struct{}), heartbeat: PullHeartbeat, deaf: func(error) bool { return false },
	}
	c.lifetime, c.end = context.WithCancel(context.Background())
	if err := (&connector{cfg: cfg, client: c}).connect(ctx); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

func (k *connector) connect(ctx context.Context) error {
	address, opts, err := k.options()
	if err != nil {
		return err
	}
	timeout := outage.Allowed(ctx, cmp.Or(k.cfg.Timeout, 10*time.Second))
	began := time.Now()
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dialer := &dialer{until: timed, lifetime: k.client.lifetime}
	if k.cfg.Patient {
		dialer.until = ctx
	}
	opts = append(opts, nats.SetCustomDialer(dialer), nats.Timeout(min(timeout, 5*time.Second)))

	backoff := outage.NewBackoff(50*time.Millisecond, time.Second)
	var reason error
	waiting := outage.Loop{
		Log: k.client.log, Fields: []zap.Field{zap.String("server", redact(address))},
		Away: "there is no connection to NATS yet; trying again until there is one", Back: "there is a connection to NATS now",
	}
	sayAfter := cmp.Or(k.cfg.sayAfter, patientSilence)
	sayAt := time.Now().Add(sayAfter)
	limit := outage.Loop{
		Log: k.client.log, Fields: []zap.Field{zap.String("server", redact(address))},
		Away: "all connections of the NATS account are in use, or those of the server (max_connections); waiting for one to be free. End a program that is not needed (one that vanished is counted for some minutes), or use a larger plan",
	}
	for {
		nc, err := nats.Connect(address, opts...)
		switch {
		case err == nil:
			dialer.connected()
			waiting.Observe(nil)
			return k.use(nc)
		case isAuth(err):
			return pipeline.Fail(pipeline.Fatal, "connect to NATS at %s: %w: %s", redact(address), err, k.creds.advice(time.Now()))
		case k.cfg.Patient && isConnectionLimit(err):
			limit.Observe(err)
			if err := outage.Sleep(ctx, connectionLimitPause()); err != nil {
				return err
			}
			continue
		}
		if reason == nil || timed.Err() == nil || k.cfg.Patient { // one that our own time cut short explains nothing
			reason = dialer.reason(err)
		}
		switch {
		case !k.cfg.Patient:
			if backoff.Sleep(timed) != nil {
				outage.Waited(ctx, time.Since(began))
				return connectError(address, timeout, reason)
			}
		case backoff.Sleep(ctx) != nil:
			return ctx.Err()
		case time.Now().After(sayAt):
			waiting.Observe(connectError(address, sayAfter, reason))
		}
	}
}

func (k *connector) use(nc *nats.Conn) (err error) {
	k.client.nc = nc
	k.client.js, err = jetstream.New(nc)
	if err != nil {
		nc.Close()
		<-k.client.handlersDone
	}
	return err
}

// patientSilence is how long a patient program tries before it says so: a server may be starting.
const patientSilence = 10 * time.Second

// connectionLimitPause is the time between two tries for a connection of an account that has none
// left.
func connectionLimitPause() time.Duration { return time.Second + rand.N(time.Second) }

func connectError(address string, timeout time.Duration, err error) error {
	return pipeline.Fail(pipeline.Retryable, "connect to NATS at %s, tried for %s: %w: %s", redact(address), timeout, err, connectAdvice(err))
}

func (k *connector) options() (address string, opts []nats.Option, err error) {
	user := k.cfg.User
	opts = []nats.Option{
		nats.Name(k.cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be renewed while this process runs
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ReconnectBufSize(-1), // nothing is sent late
		nats.PingInterval(PingEvery),
		nats.MaxPingsOutstanding(pingsOutstanding),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { k.onError(err) }),
		nats.DisconnectErrHandler(k.onDisconnect),
		nats.ReconnectHandler(k.onReconnect),
		nats.ClosedHandler(func(*nats.Conn) { k.once.Do(func() { close(k.client.handlersDone) }) }),
	}
	if k.cfg.Creds != "" {
		creds, err := readCreds(k.cfg.Creds)
		if err != nil {
			return "", nil, err
		}
		k.creds = &refresher{from: k.cfg.Creds, last: creds}
		opts = append(opts, k.creds.option())
		user = cmp.Or(user, creds.user())
	}
	if k.cfg.Key != "" {
		opts = append(opts, nats.Token(k.cfg.Key))
	}
	if k.cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(k.cfg.InProcess))
	} else if address, user, err = checkURL(k.cfg.URL, user); err != nil {
		return "", nil, err
	}
	user = cmp.Or(user, strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix))
	if !isToken(user) {
		return "", nil, pipeline.Fail(pipeline.Fatal, "the NATS user %q cannot be part of a subject: use 1 to 64 of A-Z, a-z, 0-9, - and _", user)
	}
	return address, append(opts, nats.CustomInboxPrefix(inboxPrefix(user))), nil
}

// reconnectDelay is short after the first failure, because servers restart, and about 2 s later,
// with jitter so that many processes do not reconnect at once.
func reconnectDelay(failures int) time.Duration {
	delay := min(100*time.Millisecond<<min(failures, 10), 2*time.Second)
	return delay/2 + rand.N(delay)
}

func (k *connector) onDisconnect(nc *nats.Conn, err error) {
	k.client.pending.disconnect()
	if !nc.IsClosed() {
		k.client.log.Warn("lost the connection to NATS, trying to connect again", zap.Error(err), outage.Begins())
	}
}

func (k *connector) onReconnect(nc *nats.Conn) {
	k.reports.Ends()
	k.client.hearings.missed()
	k.client.log.Info("connected to NATS again", zap.String("server", redact(nc.ConnectedUrl())))
}

func (k *connector) onError(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		if !k.client.deaf(err) {
			k.client.pending.deny(err)
		}
		return
	}
	if k.reports.Begins(err) {
		k.client.log.Warn("NATS reports: "+k.reportAdvice(err), zap.Error(err))
	}
}

// reportAdvice says what a person can do about what the server reports beside the conversation.
func (k *connector) reportAdvice(err error) string {
	switch {
	case isConnectionLimit(err):
		return "all connections of the account are in use; trying again until one is free. End a program that is not needed, or use a larger plan"
	case isAuth(err):
		return "it refuses the credentials; trying again until it takes them: " + k.creds.advice(time.Now())
	case errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		return fmt.Sprintf("the account allows no more subscriptions on one connection, and each GPU needs up to %d: use a consumer for each GPU", pipeline.PullsEach)
	}
	return "an error"
}
