package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// DurableRefresh is how often a program reads the configuration of a durable that it pulls from,
// unless it asks for the durable anyway: the lease may be changed while workers run.
const DurableRefresh = 30 * time.Minute

// A durable is one of JetStream's durables, looked up when it is first needed and again when it
// has gone. It may be used by many goroutines.
type durable struct {
	c            *client
	stream, name string
	prepare      func(ctx context.Context, d *durable) error // of the store's side, once it is found
	lookup       chan struct{}                               // held by the one of many workers that looks it up

	mu      sync.Mutex
	found   *jetstream.ConsumerConfig // nil: to be looked up
	foundAt time.Time

	gone chan struct{} // holds a value when it was found to be missing

	missing outage.Reporter // that it is waited for
	failing outage.Loop
}

func newDurable(c *client, stream, name string, prepare func(ctx context.Context, d *durable) error) *durable {
	return &durable{c: c, stream: stream, name: name, prepare: prepare, lookup: make(chan struct{}, 1), gone: make(chan struct{}, 1), failing: outage.Loop{
		Log: c.log, Fields: []zap.Field{zap.String("run", name)},
		Away: "cannot take batches, trying again until it works", Back: "batches can be taken again",
	}}
}

// find returns the durable's configuration, and waits until it exists.
func (d *durable) find(ctx context.Context) (*jetstream.ConsumerConfig, error) {
	select {
	case d.lookup <- struct{}{}:
		defer func() { <-d.lookup }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	backoff := newDurableBackoff()
	for {
		if found := d.known(); found != nil {
			return found, nil
		}
		_, err := d.look(ctx)
		if err == nil {
			continue
		}
		if err := d.awaitRetry(ctx, err, backoff); err != nil {
			return nil, err
		}
	}
}

// findPrepared returns the lease of a durable of the store's side, as this process wants it.
func (d *durable) findPrepared(ctx context.Context) (lease time.Duration, err error) {
	found := d.known()
	if found == nil {
		if err = d.prepare(ctx, d); err == nil {
			found, err = d.look(ctx)
		}
	}
	if isAbsent(err) {
		return 0, pipeline.Fail(pipeline.Retryable, "%w: `%s` makes it", err, advice.Command("publish", "--run", "NAME"))
	}
	if err != nil {
		return 0, err
	}
	return found.AckWait, nil
}

func (d *durable) known() *jetstream.ConsumerConfig {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.foundAt) > DurableRefresh {
		d.found = nil
	}
	return d.found
}

func (d *durable) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = nil
}

// look asks for the durable's info, which does not create it.
func (d *durable) look(ctx context.Context) (*jetstream.ConsumerConfig, error) {
	var info *jetstream.ConsumerInfo
	err := d.c.call(ctx, "$JS.API.CONSUMER.INFO."+d.stream+"."+d.name, 5*time.Second, func(ctx context.Context) error {
		handle, err := d.c.js.Consumer(ctx, d.stream, d.name)
		if err == nil {
			info = handle.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d.learn(info)
	return &info.Config, nil
}

// learn takes in the durable's info, which another part of this process may have asked for.
func (d *durable) learn(info *jetstream.ConsumerInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found, d.foundAt = &info.Config, time.Now()
	if d.missing.Ends() {
		d.c.log.Info("the run is there", zap.String("run", d.name))
	}
}

// newDurableBackoff returns the waits between the tries to pull from a durable, or to find it.
func newDurableBackoff() *outage.Backoff {
	return outage.NewBackoff(50*time.Millisecond, 5*time.Second)
}

// awaitRetry decides what an error of a pull or a lookup means. It returns nil when the next try
// may be made, and waits before it does unless the pull just expired.
func (d *durable) awaitRetry(ctx context.Context, err error, backoff *outage.Backoff) error {
	var failure *pipeline.Failure
	switch {
	case d.c.lifetime.Err() != nil, errors.Is(err, nats.ErrConnectionClosed):
		return errClosed()
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failure):
		return fmt.Errorf("next batch of run %s: %w", d.name, err)
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoMessages):
		return nil
	case isAbsent(err):
		d.forget()
		select {
		case d.gone <- struct{}{}:
		default: // it is known
		}
		if d.missing.Begins(err) {
			d.c.log.Info("waiting for the run", zap.String("run", d.name))
		}
	case isNoResponders(err):
		d.forget()
	case isUnanswered(err):
	default:
		d.failing.Observe(err)
	}
	return backoff.Sleep(ctx)
}
