package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Config says which NATS server to use, and how. The zero value of a field is its default.
type Config struct {
	URL       string                     // nats://, tls://, wss://…; several with commas
	Creds     string                     // the path of a .creds file, or its content
	Name      string                     // of the program, seen in the server's list of connections
	User      string                     // replies come to _INBOX_<user>; default the user in the credentials or the URL, else a random one
	InProcess nats.InProcessConnProvider // a server in this process, instead of URL
	Timeout   time.Duration              // for the first connection; default 10 s
	Patient   bool                       // where all connections of the account are in use, wait for one as long as it takes
	Lease     time.Duration              // how long a batch is held without a sign of life; default what the run has, for a new one pipeline.DefaultLease
	SinkLease time.Duration              // the same for results, which a sink holds only while it writes them; default what they have, at first 30 s
	Replicas  int                        // of each stream; default 1
	MaxBytes  int64                      // of all streams together; default what the account allows, at most 4 GiB
	Enlarge   bool                       // streams that are there and smaller than MaxBytes says, too
	Log       *zap.Logger                // default none
}

// A Conn is a connection to NATS with all that Gleaner keeps there. It may be used by many
// goroutines.
type Conn struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *zap.Logger
	codec    *codec
	creds    *keeper // nil: none
	waits    waits
	sink     *durable
	mirror   *durable
	lease    time.Duration // of a batch
	sinkFor  time.Duration // lease of results and dead letters; as lease, 0 leaves the one that is there
	replicas int
	maxBytes int64
	enlarges bool

	pullFor, heartbeat time.Duration // of a pull for work; a test shortens them

	ensured  atomic.Bool // all streams were there once
	worked   atomic.Bool // JetStream has answered before
	noStream outage.Reporter
	results  *outlet
	letters  *outlet
	reported outage.Reporter // what the server says beside the conversation

	levelMu    sync.Mutex
	levelAt    time.Time // when the levels were asked for
	work, dead level

	life     context.Context // ends when the connection is closed
	end      context.CancelFunc
	down     chan struct{} // closed when nats.go has called its last handler
	downOnce sync.Once

	pauses sync.Map // durable → time.Time until which it is paused, as it was seen last

	mu      sync.Mutex
	closed  bool
	pulling sync.WaitGroup // goroutines with a pull on the server; none is added once closed
}

// Connect connects to NATS. The first connection must come within Config.Timeout; after that it
// is renewed for ever. Refused credentials are a Fatal failure. The caller ends it with Close.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		log: cfg.Log, codec: codec, down: make(chan struct{}),
		lease: cfg.Lease, sinkFor: cfg.SinkLease, replicas: max(1, cfg.Replicas), maxBytes: cfg.MaxBytes, enlarges: cfg.Enlarge,
		pullFor: defaultPullFor, heartbeat: defaultHeartbeat,
		results: resultsOutlet(), letters: deadOutlet(),
	}
	c.life, c.end = context.WithCancel(context.Background())
	if err := c.dial(ctx, cfg); err != nil {
		c.end()
		return nil, err
	}
	c.sink = &durable{c: c, stream: ResultsStream, name: sinkDurable, looking: make(chan struct{}, 1)}
	c.mirror = &durable{c: c, stream: DeadStream, name: mirrorDurable, looking: make(chan struct{}, 1)}
	return c, nil
}

// dial tries until a connection is there, the time is over, or trying again cannot help.
func (c *Conn) dial(ctx context.Context, cfg Config) error {
	address, opts, err := c.options(cfg)
	if err != nil {
		return err
	}
	timeout := orDuration(cfg.Timeout, 10*time.Second)
	parent := ctx
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	first := ctx
	if cfg.Patient {
		first = parent
	}
	dialer := &dialer{first: first, life: c.life}
	opts = append(opts, nats.SetCustomDialer(dialer), nats.Timeout(min(timeout, 5*time.Second)))

	wait := newWait(50*time.Millisecond, time.Second)
	var reason error
	var full outage.Reporter
	for {
		nc, err := nats.Connect(address, opts...)
		if err == nil {
			dialer.connected()
			return c.use(nc)
		}
		if isAuth(err) {
			return pipeline.Fail(pipeline.Fatal, "connect to NATS at %s: %w: %s", redact(address), err, c.creds.advice(time.Now()))
		}
		if cfg.Patient && isCrowded(err) {
			if full.Begins(err) {
				c.log.Warn("all connections of the NATS account are in use; waiting for one to be free. End a program that is not needed (one that vanished is counted for some minutes), or use a larger plan",
					zap.String("server", redact(address)), zap.Error(err))
			}
			if err := sleep(parent, crowdedWait()); err != nil {
				return err
			}
			continue
		}
		if reason == nil || ctx.Err() == nil { // that our own time was over in the middle of a try explains nothing
			reason = dialer.reason(err)
		}
		if wait.next(ctx) != nil {
			return connectError(address, timeout, reason)
		}
	}
}

func (c *Conn) use(nc *nats.Conn) (err error) {
	c.nc = nc
	c.js, err = jetstream.New(nc)
	if err != nil {
		nc.Close()
		<-c.down
	}
	return err
}

// isCrowded says that the account, or the server, has no connection left.
func isCrowded(err error) bool {
	return errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) || errors.Is(err, nats.ErrMaxConnectionsExceeded)
}

// crowdedWait is the time between two tries for a connection of an account that has none left.
func crowdedWait() time.Duration { return time.Second + rand.N(time.Second) }

func connectError(address string, timeout time.Duration, err error) error {
	hint := "check the address (NATS_URL)"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "check the address (NATS_URL) and that a NATS server runs there"
	case isCrowded(err):
		hint = "end another program of this account, or use a larger plan; one that vanished is counted for some minutes"
	case errors.Is(err, errSilent):
		hint = "check that it is a NATS server (NATS_URL), and that the scheme is right: nats://, tls:// or wss://"
	case isTimeout(err):
		hint = "check the address (NATS_URL) and that its port is not blocked here; where 4222 is closed, wss://…:443 may be open"
	}
	return pipeline.Fail(pipeline.Retryable, "connect to NATS at %s, tried for %s: %w: %s", redact(address), timeout, err, hint)
}

func (c *Conn) options(cfg Config) (address string, opts []nats.Option, err error) {
	user := cfg.User
	opts = []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be renewed while this process runs
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ReconnectBufSize(-1), // nothing is sent late
		nats.PingInterval(20 * time.Second),
		nats.MaxPingsOutstanding(3),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.onError(err) }),
		nats.DisconnectErrHandler(c.onDisconnect),
		nats.ReconnectHandler(c.onReconnect),
		nats.ClosedHandler(func(*nats.Conn) { c.downOnce.Do(func() { close(c.down) }) }),
	}
	if cfg.Creds != "" {
		creds, err := readCreds(cfg.Creds)
		if err != nil {
			return "", nil, err
		}
		c.creds = &keeper{from: cfg.Creds, last: creds}
		opts = append(opts, c.creds.option())
		user = or(user, creds.user())
	}
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	} else if address, user, err = checkURL(cfg.URL, user); err != nil {
		return "", nil, err
	}
	user = or(user, strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix))
	if !isToken(user) {
		return "", nil, pipeline.Fail(pipeline.Fatal, "the NATS user %q cannot be part of a subject: use 1 to 64 of A-Z, a-z, 0-9, - and _", user)
	}
	return address, append(opts, nats.CustomInboxPrefix(inboxPrefix(user))), nil
}

// reconnectDelay is short after the first failure, because servers restart, and up to 5 s later,
// with jitter so that many processes do not come at once.
func reconnectDelay(failures int) time.Duration {
	delay := min(100*time.Millisecond<<min(failures, 10), 5*time.Second)
	return delay/2 + rand.N(delay)
}

func inboxPrefix(user string) string { return "_INBOX_" + user }

// checkURL returns the addresses as nats.go takes them, and the user in them if none is known.
// Its errors do not repeat the address, which may hold a password.
func checkURL(list, user string) (string, string, error) {
	var urls []string
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return "", "", pipeline.Fail(pipeline.Fatal, "the NATS address (NATS_URL) is not one: it looks like nats://host:4222, tls://host:4222 or wss://host:443")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return "", "", pipeline.Fail(pipeline.Fatal, "the NATS address (NATS_URL) begins with %s://: use nats://, tls://, ws:// or wss://", u.Scheme)
		}
		if u.User != nil && isToken(u.User.Username()) {
			user = or(user, u.User.Username())
		}
		urls = append(urls, s)
	}
	if len(urls) == 0 {
		return "", "", pipeline.Fail(pipeline.Fatal, "no NATS address is given (NATS_URL): it looks like nats://host:4222")
	}
	return strings.Join(urls, ","), user, nil
}

// redact takes user and password out of addresses.
func redact(list string) string {
	if list == "" {
		return "this process"
	}
	urls := strings.Split(list, ",")
	for i, s := range urls {
		if u, err := url.Parse(s); err == nil {
			u.User = nil
			urls[i] = u.String()
		}
	}
	return strings.Join(urls, ",")
}

func (c *Conn) onDisconnect(nc *nats.Conn, err error) {
	c.waits.cut()
	if !nc.IsClosed() {
		c.log.Warn("lost the connection to NATS, trying to connect again", zap.Error(err))
	}
}

func (c *Conn) onReconnect(nc *nats.Conn) {
	c.reported.Ends()
	c.log.Info("connected to NATS again", zap.String("server", redact(nc.ConnectedUrl())))
}

func (c *Conn) onError(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		c.waits.deny(err)
		return
	}
	if c.reported.Begins(err) {
		c.log.Warn("NATS reports: "+c.reportAdvice(err), zap.Error(err))
	}
}

// reportAdvice says what a person can do about what the server reports beside the conversation.
func (c *Conn) reportAdvice(err error) string {
	switch {
	case isCrowded(err):
		return "all connections of the account are in use; trying again until one is free. End a program that is not needed, or use a larger plan"
	case isAuth(err):
		return "it refuses the credentials; trying again until it takes them: " + c.creds.advice(time.Now())
	case errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		return "the account allows no more subscriptions on one connection, and each slot needs one: use fewer slots (--slots), or a consumer for each GPU"
	}
	return "an error"
}

// connected waits for the connection to be there.
func (c *Conn) connected(ctx context.Context) error {
	for !c.nc.IsConnected() {
		if c.life.Err() != nil {
			return errClosed()
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// Healthy says why the connection does not work, or nil. It asks the server, within ctx or 5 s.
func (c *Conn) Healthy(ctx context.Context) error {
	if !c.nc.IsConnected() {
		return errors.New("there is no connection to NATS, trying to connect again")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("NATS does not answer: %w", err)
	}
	return nil
}

// Close sends what is still to be sent, closes the connection and waits for the goroutines. The
// server forgets the pulls that are parked there at once, so no message is delivered to nobody.
// Calling it again does nothing.
func (c *Conn) Close() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		if c.nc.IsConnected() {
			_ = c.nc.FlushTimeout(2 * time.Second) // what it does not send, the leases make good
		}
		c.nc.Close()
		c.end()
	}
	c.pulling.Wait()
	<-c.down
}

// spawn runs f in a goroutine that Close waits for, or says false if it is too late.
func (c *Conn) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.pulling.Go(f)
	return true
}

// errSilent says that something took the connection and did not greet as a NATS server does.
var errSilent = errors.New("the server there takes connections but does not answer as NATS does")

// A dialer gives up when the caller of Connect does, and later when the connection is closed. It
// remembers how the last dial ended, which nats.go does not tell.
type dialer struct {
	life context.Context

	mu    sync.Mutex
	first context.Context
	last  error
}

func (d *dialer) connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.first = d.life
}

// reason returns why there is no connection, where nats.go only says that there is none or that
// it took too long.
func (d *dialer) reason(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !errors.Is(err, nats.ErrNoServers) && !isTimeout(err):
		return err
	case d.last == nil:
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	return d.last
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	ctx := d.first
	d.mu.Unlock()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	return conn, err
}

func orDuration(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
