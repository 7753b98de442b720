package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// durables creates JetStream's durables and keeps them up to date. A change reads a durable and
// writes all of it back, so this process makes one change at a time: else one would undo another.
// Where another process changes the same durable in between, the next ensure puts that right.
type durables struct {
	c      *client
	busy   chan struct{} // held by the one change that is made
	pauses sync.Map      // durable → time.Time until which it was paused when it was last seen

	limited atomic.Bool // the account limits how many messages of a durable may be held
}

func newDurables(c *client) durables { return durables{c: c, busy: make(chan struct{}, 1)} }

// begin waits until no other change is made. After one without an error comes end.
func (d *durables) begin(ctx context.Context) error {
	select {
	case d.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *durables) end() { <-d.busy }

// durableConfig is what all durables have in common: a message that is not acknowledged is always
// delivered again, and the lease alone decides when.
func durableConfig(name string, lease time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: lease, MaxDeliver: -1,
		// A limit that is not set would be 1,000 on the server.
		MaxAckPending: pipeline.HeldAtOnce,
		// The server's default of 512 is less than a large pool has. This cannot be changed on a durable
		// that exists (code 10012), which keeps the one that it has.
		MaxWaiting: pipeline.WaitingPulls,
	}
}

// ensure creates a durable, or updates the lease, the metadata and the limits of one that exists.
// Everything else about it stays, such as a pause. Its lease stays, too, if want has none; a new
// durable gets newLease then, and with newLease 0 none is created. It returns what the durable
// says.
func (d *durables) ensure(ctx context.Context, stream string, want jetstream.ConsumerConfig, newLease time.Duration) (*jetstream.ConsumerInfo, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	what := fmt.Sprintf("create durable %s on stream %s", want.Durable, stream)
	info, err := d.c.durableInfo(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && newLease > 0 {
		created := want
		created.AckWait = cmp.Or(want.AckWait, newLease)
		if created.PauseUntil == nil {
			created.PauseUntil = d.pausedUntil(want.Durable)
		}
		info, err = d.write(ctx, stream, created, d.c.js.CreateConsumer)
		if err == nil {
			return info, nil
		}
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		info, err = d.c.durableInfo(ctx, stream, want.Durable)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	is := info.Config
	d.sawPause(info)
	if is.AckPolicy != want.AckPolicy || is.FilterSubject != want.FilterSubject || is.MaxDeliver != want.MaxDeliver || len(is.BackOff) > 0 {
		return nil, pipeline.Fail(pipeline.Fatal, "durable %s on stream %s is there with another ack policy, filter, delivery limit or backoff: delete it and start again",
			want.Durable, stream)
	}
	maps.DeleteFunc(is.Metadata, serverKey)
	want.AckWait = cmp.Or(want.AckWait, is.AckWait)
	for _, key := range reportKeys { // they belong to the process that follows the run
		if was, there := is.Metadata[key]; there && want.Metadata[key] == "" {
			want.Metadata[key] = was
		}
	}
	until := pauseFor(info, want)
	if is.AckWait == want.AckWait && maps.Equal(is.Metadata, want.Metadata) && is.MaxRequestBatch == want.MaxRequestBatch &&
		(is.MaxAckPending == want.MaxAckPending || d.limited.Load()) {
		return d.pauseIf(ctx, info, until)
	}
	is.AckWait, is.Metadata = want.AckWait, want.Metadata
	is.MaxAckPending, is.MaxRequestBatch = want.MaxAckPending, want.MaxRequestBatch
	if info, err = d.write(ctx, stream, is, d.c.js.UpdateConsumer); err != nil {
		return nil, fmt.Errorf("update durable %s on stream %s: %w", want.Durable, stream, err)
	}
	return d.pauseIf(ctx, info, until)
}

// write creates or updates a durable. Where the account limits how many of its messages may be held
// at once, it gets that limit.
func (d *durables) write(ctx context.Context, stream string, cfg jetstream.ConsumerConfig, write durableWriter) (info *jetstream.ConsumerInfo, err error) {
	try := func(ctx context.Context) error {
		durable, err := write(ctx, stream, cfg)
		if err == nil {
			info = durable.CachedInfo()
		}
		return err
	}
	if err = d.c.api(ctx, try); code(err) != codeAckPending {
		return info, err
	}
	limit, lookErr := d.c.maxAckPending(ctx)
	if lookErr != nil {
		return nil, errors.Join(err, lookErr)
	}
	d.limited.Store(true)
	cfg.MaxAckPending = limit
	err = d.c.api(ctx, try)
	return info, err
}

type durableWriter = func(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error)

// maxAckPending returns how many messages of a durable may be held at once by what the account
// says: the least of its limits, or 0, of which the server makes what it allows.
func (c *client) maxAckPending(ctx context.Context) (limit int, err error) {
	var info *jetstream.AccountInfo
	err = c.api(ctx, func(ctx context.Context) (err error) {
		info, err = c.js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read how many messages the NATS account lets be held: %w", err)
	}
	limits := []int{info.Limits.MaxAckPending}
	for _, tier := range info.Tiers {
		limits = append(limits, tier.Limits.MaxAckPending)
	}
	for _, l := range limits {
		if l > 0 && (limit == 0 || l < limit) {
			limit = l
		}
	}
	return limit, nil
}

// report changes these metadata of the durable of a run, and nothing else about it.
func (d *durables) report(ctx context.Context, run pipeline.Run, news map[string]string) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	info, err := d.c.durableInfo(ctx, WorkStream, run.Name)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	is := info.Config
	before := maps.Clone(is.Metadata)
	maps.Copy(is.Metadata, news)
	if is.Metadata[metaUID] != run.UID || maps.Equal(before, is.Metadata) {
		return nil
	}
	maps.DeleteFunc(is.Metadata, serverKey)
	return d.c.api(ctx, func(ctx context.Context) error {
		_, err := d.c.js.UpdateConsumer(ctx, WorkStream, is)
		return err
	})
}

// pause pauses the durable of a run until a time. That is a call of its own: an update of a durable
// leaves its pause as it is.
func (d *durables) pause(ctx context.Context, run string, until time.Time) error {
	return d.c.api(ctx, func(ctx context.Context) error {
		_, err := d.c.js.PauseConsumer(ctx, WorkStream, run, until)
		return err
	})
}

// pauseIf pauses the durable of a run if there is a time until when, and returns what it says then.
func (d *durables) pauseIf(ctx context.Context, info *jetstream.ConsumerInfo, until *time.Time) (*jetstream.ConsumerInfo, error) {
	if until == nil {
		return info, nil
	}
	if err := d.pause(ctx, info.Name, *until); err != nil {
		return nil, fmt.Errorf("pause or resume run %s as the store says: %w", info.Name, err)
	}
	return d.c.durableInfo(ctx, WorkStream, info.Name)
}

// pauseFor returns until when a durable has to be paused so that it does what is wanted, or nil if
// it may stay as it is. It leaves the mark in want that the durable gets.
func pauseFor(info *jetstream.ConsumerInfo, want jetstream.ConsumerConfig) *time.Time {
	mark, asked := info.Config.Metadata[metaPause], want.Metadata[metaPause]
	if want.PauseUntil != nil {
		if info.Paused && mark == asked {
			return nil
		}
		return want.PauseUntil
	}
	delete(want.Metadata, metaPause)
	if info.Paused && mark != "" { // the store's pause may be newer than what the caller knows of it
		want.Metadata[metaPause] = mark
	}
	if info.Paused && mark != "" && mark == asked && info.PauseRemaining > resumeIn {
		until := info.TimeStamp.Add(resumeIn)
		return &until
	}
	return nil
}

// sawPause remembers until when a durable is paused of which the store may know nothing.
func (d *durables) sawPause(info *jetstream.ConsumerInfo) {
	until := time.Now()
	if info.Config.Metadata[metaPause] == "" {
		until = until.Add(info.PauseRemaining)
	}
	d.pauses.Store(info.Name, until)
}

// pausedUntil returns until when a durable was paused that the server has lost since, or nil. The
// new one has to be paused again, or a run that a person stopped would go on.
func (d *durables) pausedUntil(durable string) *time.Time {
	until, known := d.pauses.Load(durable)
	if !known || until.(time.Time).Before(time.Now()) {
		return nil
	}
	at := until.(time.Time)
	return &at
}

// durableInfo asks for the state of a durable.
func (c *client) durableInfo(ctx context.Context, stream, name string) (info *jetstream.ConsumerInfo, err error) {
	err = c.api(ctx, func(ctx context.Context) error {
		durable, err := c.js.Consumer(ctx, stream, name)
		if err == nil {
			info = durable.CachedInfo()
		}
		return err
	})
	return info, err
}
