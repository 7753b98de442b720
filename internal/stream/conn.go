package stream

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A Conn is a connection to NATS with all that Gleaner keeps there. It may be used by many
// goroutines. Its methods stand in files of their own: work, results, deadletters and browse,
// run, control, lookup and presence.
type Conn struct {
	*client
	provisioner *provisioner
	publisher   *publisher
	usage       *usageCache
	roster      *roster

	results     *blockingPublisher
	deadLetters *blockingPublisher
	sink        *durable // of the results
	mirror      *durable // of the dead letters
	works       sync.Map // run → *durable, for those that Work was called for

	onClose func() // see Config
	closed  sync.Once

	pullExpiry time.Duration // of a pull for work; a test shortens it
}

// Connect connects to NATS. The first connection must come within Config.Timeout, unless
// Config.Patient is set; after that it is renewed for ever. Refused credentials are a Fatal
// failure. The caller ends it with Close.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	client, err := dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	publisher := newPublisher(client)
	provisioner := newProvisioner(client, cfg)
	return &Conn{
		client: client, provisioner: provisioner, publisher: publisher, usage: &usageCache{c: client}, roster: newRoster(client),
		results: resultsPublisher(publisher), deadLetters: deadLetterPublisher(publisher),
		sink:       newDurable(client, ResultsStream, sinkDurable, provisioner.setSinkLease),
		mirror:     newDurable(client, DeadStream, mirrorDurable, provisioner.setSinkLease),
		pullExpiry: PullExpiry, onClose: cfg.OnClose,
	}, nil
}

// Healthy says why the connection does not work, or nil. It asks the server, within ctx or 5 s.
func (c *Conn) Healthy(ctx context.Context) error { return c.healthy(ctx) }

// Close sends what is still to be sent, closes the connection and waits for the goroutines. The
// server forgets the pulls of this connection at once, so it delivers nothing to a process that is
// gone. Calling it again does nothing.
func (c *Conn) Close() {
	c.close()
	if c.onClose != nil {
		c.closed.Do(c.onClose)
	}
}
