package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gleaner/internal/outage"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// A client is a connection to the server: what every part of this package stands on. It may be
// used by many goroutines.
type client struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	log   *zap.Logger
	codec *codec

	pending  pendingCalls
	deaf     func(err error) bool // takes in a refused subscription that no call waits for
	absences atomic.Int64         // how often a stream or a durable was found to be missing
	silent   atomic.Bool          // the last call got no answer
	answered atomic.Bool          // JetStream has answered before
	hearings hearings
	owner    owner

	heartbeat time.Duration // of a pull that waits for long; a test shortens it

	lifetime     context.Context // ends when the connection is closed
	end          context.CancelFunc
	handlersDone chan struct{} // closed when nats.go has called its last handler

	mu      sync.Mutex
	closed  bool
	pulling sync.WaitGroup // goroutines with a pull on the server; none is added once closed
}

// connected waits until there is a connection.
func (c *client) connected(ctx context.Context) error {
	for !c.nc.IsConnected() {
		if c.lifetime.Err() != nil {
			return errClosed()
		}
		if err := outage.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// answers reports whether the server answers anything at all. A connection on which it does not is
// ended by the PINGs, and that is said.
func (c *client) answers(ctx context.Context) bool {
	timed, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.nc.FlushWithContext(timed) == nil
}

// spawn runs f in a goroutine that close waits for. It returns false, and does not run f, once the
// connection is closed.
func (c *client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.pulling.Go(f)
	return true
}

func (c *client) healthy(ctx context.Context) error {
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

func (c *client) close() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		if c.nc.IsConnected() {
			within := 2 * time.Second
			if c.silent.Load() { // its answer will probably not come, either
				within = 200 * time.Millisecond
			}
			_ = c.nc.FlushTimeout(within) // what it does not send, the leases make good
		}
		c.nc.Close()
		c.end()
	}
	c.pulling.Wait()
	<-c.handlersDone
}
