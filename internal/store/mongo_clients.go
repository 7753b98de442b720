package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gleaner/internal/outage"
)

var (
	errUnanswered = errors.New("no answer in time")
	errLeft       = errors.New("its connection was given up because another command got no answer")
)

// mongoClients runs commands on one client of the driver. A command that gets no answer within its
// deadline makes it open a new client and leave the old one with all its connections: where one
// of them is dead without an end, such as after a router forgot them, the others of its pool
// probably are, and the driver would try them one after the other. A ping would tell nothing, since
// it may get another connection than the command that waits.
type mongoClients struct {
	options  *options.ClientOptions
	database string
	base     time.Duration // the deadline of a command without its bytes

	working context.Context // ends at close
	stop    context.CancelFunc

	silent atomic.Bool // the last command got no answer

	mu      sync.Mutex
	current *mongoClient
	leaving sync.WaitGroup // a goroutine for each client that was left
}

// A mongoClient is one client, and what is known of its use.
type mongoClient struct {
	*mongo.Client
	working context.Context // ends when its commands have to end
	stop    context.CancelCauseFunc
	busy    sync.WaitGroup // commands; none is added once it is left
}

// connect makes the first client. The driver does not speak to the server yet.
func connect(opts *options.ClientOptions, database string) (*mongoClients, error) {
	c := &mongoClients{options: opts, database: database, base: commandDeadline}
	if opts.Timeout != nil && *opts.Timeout > 0 {
		c.base = *opts.Timeout
	}
	c.working, c.stop = context.WithCancel(context.Background())
	var err error
	c.current, err = c.open()
	return c, err
}

func (c *mongoClients) open() (*mongoClient, error) {
	client, err := mongo.Connect(c.options)
	if err != nil {
		return nil, err
	}
	working, stop := context.WithCancelCause(c.working)
	return &mongoClient{Client: client, working: working, stop: stop}, nil
}

// acquire returns the client for one command, which calls busy.Done at its end.
func (c *mongoClients) acquire() *mongoClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.busy.Add(1)
	return c.current
}

// leave goes on with a new client if this one is still in use. The old one is closed when its
// commands have ended. If the new one cannot be made, which only wrong options cause, the old one
// stays.
func (c *mongoClients) leave(old *mongoClient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != old || c.working.Err() != nil {
		return
	}
	fresh, err := c.open()
	if err != nil {
		return
	}
	c.current = fresh
	c.leaving.Go(func() {
		old.busy.Wait()
		// It says goodbye on a connection that may be dead, so it hardly waits for an answer.
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = old.Disconnect(ctx) // nothing uses it any more
		old.stop(nil)
	})
}

// close ends all commands and closes all clients.
func (c *mongoClients) close(ctx context.Context) error {
	c.stop()
	c.leaving.Wait()
	if c.silent.Load() { // it would not answer a goodbye, either
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, goodbye)
		defer cancel()
	}
	return c.current.Disconnect(ctx)
}

// goodbye is how long a server that did not answer may take to close a client.
const goodbye = 200 * time.Millisecond

// ask runs one command of this many bytes with its deadline, and within the patience of ctx.
func ask[T any](ctx context.Context, c *mongoClients, bytes int, command func(context.Context, *mongo.Database) (T, error)) (T, error) {
	client := c.acquire()
	defer client.busy.Done()
	began, within := time.Now(), outage.Allowed(ctx, c.deadline(bytes))
	limited, cancel := context.WithTimeoutCause(ctx, within, errUnanswered)
	defer cancel()
	limited, giveUp := context.WithCancelCause(limited)
	defer giveUp(nil)
	defer context.AfterFunc(client.working, func() { giveUp(context.Cause(client.working)) })()
	answer, err := command(limited, client.Database(c.database))
	c.silent.Store(isUnanswered(err))
	if err == nil || ctx.Err() != nil {
		return answer, err
	}
	outage.Waited(ctx, time.Since(began))
	switch {
	case context.Cause(limited) == errLeft:
		return answer, fmt.Errorf("%w: %w", errLeft, err)
	case time.Since(began) >= within: // the driver sees that before the context does, or after it
		c.leave(client)
		time.AfterFunc(min(leftGrace, c.base), func() { client.stop(errLeft) })
		return answer, fmt.Errorf("%w (%s); going on with new connections: %w", errUnanswered, within.Round(100*time.Millisecond), err)
	}
	return answer, err
}

// isUnanswered reports whether an error of the driver says that a command got no answer.
func isUnanswered(err error) bool {
	return err != nil && (mongo.IsTimeout(err) || mongo.IsNetworkError(err))
}

// askForRun runs a read over a whole run. It may take long, and a dead connection must not be
// waited for as long: after the deadline of a small command it is asked again on a new client, and
// the first answer counts. The other commands of the client that is left are not given up, since
// it may be well. Where the patience of ctx is shorter than the read may take, the server has to
// answer pings meanwhile.
func askForRun[T any](ctx context.Context, c *mongoClients, read func(context.Context, *mongo.Database) (T, error)) (T, error) {
	limited, cancel := context.WithTimeoutCause(ctx, max(c.base, wholeRunDeadline), errUnanswered)
	defer cancel()
	limited, giveUp := context.WithCancelCause(limited)
	type reply struct {
		value T
		err   error
	}
	replies := make(chan reply, 2)
	var asking sync.WaitGroup
	defer func() { giveUp(nil); asking.Wait() }()
	start := func() *mongoClient {
		client := c.acquire()
		asking.Go(func() {
			defer client.busy.Done()
			own, end := context.WithCancel(limited)
			defer end()
			defer context.AfterFunc(c.working, end)()
			value, err := read(own, client.Database(c.database))
			replies <- reply{value, err}
		})
		return client
	}
	began, first, waiting := time.Now(), start(), 1
	pause := min(c.base, outage.Allowed(ctx, 2*c.base)/2)
	again := time.NewTimer(pause)
	defer again.Stop()
	for {
		select {
		case r := <-replies:
			if waiting--; r.err == nil || waiting == 0 {
				c.silent.Store(isUnanswered(r.err))
				if r.err != nil && context.Cause(limited) == errUnanswered {
					outage.Waited(ctx, time.Since(began))
					r.err = fmt.Errorf("%w: %w", errUnanswered, r.err)
				}
				return r.value, r.err
			}
		case <-again.C:
			c.leave(first)
			start()
			waiting++
			if !outage.IsPatient(ctx) {
				asking.Go(func() { c.watch(limited, pause, giveUp) })
			}
		}
	}
}

// watch pings the server again and again until ctx ends, and gives up when a ping gets no answer
// within a time.
func (c *mongoClients) watch(ctx context.Context, within time.Duration, giveUp context.CancelCauseFunc) {
	for ctx.Err() == nil {
		pinging, cancel := context.WithTimeout(ctx, within)
		if err := c.ping(pinging); err != nil && ctx.Err() == nil {
			giveUp(errUnanswered)
		}
		cancel()
		_ = outage.Sleep(ctx, within) // it ends with ctx
	}
}

// ping asks the server on one connection.
func (c *mongoClients) ping(ctx context.Context) error {
	_, err := ask(ctx, c, 0, func(ctx context.Context, db *mongo.Database) (struct{}, error) {
		return struct{}{}, db.Client().Ping(ctx, readpref.Primary())
	})
	return err
}
