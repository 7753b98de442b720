package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// defaultSinkLease is long enough for a write with retries, and short enough that a sink that
// died is not missed.
const defaultSinkLease = 30 * time.Second

// Ensure creates the streams, their durables and the presence bucket, or checks those that are
// there. Replicas of what is there are left alone, and so are sizes, unless Config.Enlarge asks
// for more: that is how a person makes room. Anything else that differs is an error that says
// what. Several processes may do it at once, and it may be repeated at any time.
func (c *Conn) Ensure(ctx context.Context) error {
	for tries := 1; ; tries++ {
		err := c.ensure(ctx)
		// Another process may have taken storage between our look and our request.
		if err == nil || code(err) != codeStorage || c.maxBytes > 0 || tries == 3 {
			return err
		}
	}
}

func (c *Conn) ensure(ctx context.Context) error {
	if err := c.checkVersion(); err != nil {
		return err
	}
	wanted := c.streams()
	present, ours, err := c.look(ctx, wanted)
	if err != nil {
		return err
	}
	if len(present) < len(wanted) || c.enlarges {
		if err := c.provide(ctx, wanted, present, ours); err != nil {
			return err
		}
	}
	c.ensured.Store(true)
	for stream, name := range map[string]string{ResultsStream: sinkDurable, DeadStream: mirrorDurable} {
		if err := c.ensureDurable(ctx, stream, durableConfig(name, c.sinkFor), defaultSinkLease); err != nil {
			return c.explain(ctx, err, ours)
		}
	}
	return nil
}

// provide creates the streams that are missing, within what the account has left beside those
// that are there, and enlarges those if that is wanted.
func (c *Conn) provide(ctx context.Context, wanted []jetstream.StreamConfig, present map[string]jetstream.StreamConfig, ours int64) error {
	account, err := c.account(ctx, ours)
	if err != nil {
		return err
	}
	sizes, err := plan(c.maxBytes, account)
	if err != nil {
		return err
	}
	for _, s := range wanted {
		s.MaxBytes = sizes[s.Name]
		is, ok := present[s.Name]
		switch {
		case !ok:
			err = c.createStream(ctx, s, account)
		case c.enlarges && is.MaxBytes > 0 && is.MaxBytes < s.MaxBytes:
			err = c.enlarge(ctx, is, s.MaxBytes, account)
		}
		if err != nil {
			return err
		}
		if !ok && c.ensured.Load() {
			c.log.Warn("a stream was gone, with all that was on it, and is made again; producer publish --follow puts right what was lost", zap.String("stream", s.Name))
		}
	}
	return nil
}

// streams returns what is to be there, without sizes.
func (c *Conn) streams() []jetstream.StreamConfig {
	common := func(s jetstream.StreamConfig) jetstream.StreamConfig {
		s.Storage = jetstream.FileStorage
		s.Discard = jetstream.DiscardNew
		s.Replicas = c.replicas
		s.AllowDirect = true
		return s
	}
	presence := 3 * orDuration(c.lease, pipeline.DefaultLease)
	return []jetstream.StreamConfig{
		common(jetstream.StreamConfig{
			Name: WorkStream, Subjects: []string{"gleaner.work.>"}, Retention: jetstream.WorkQueuePolicy,
			MaxMsgsPerSubject: 1, DiscardNewPerSubject: true,
			Description: "batches that are to be generated",
		}),
		common(jetstream.StreamConfig{
			Name: ResultsStream, Subjects: []string{"gleaner.result.>"}, Retention: jetstream.WorkQueuePolicy,
			MaxMsgsPerSubject: -1,
			Description:       "answers on their way to the store",
		}),
		common(jetstream.StreamConfig{
			Name: DeadStream, Subjects: []string{"gleaner.dead.>"}, Retention: jetstream.LimitsPolicy,
			MaxMsgsPerSubject: 1, // the newest record of a batch replaces the older one
			Description:       "what could not be generated, and why",
		}),
		common(jetstream.StreamConfig{ // a key-value bucket, as clients for those expect it
			Name: bucketStream, Subjects: []string{"$KV." + Bucket + ".>"}, Retention: jetstream.LimitsPolicy,
			MaxMsgsPerSubject: 1, MaxAge: presence, Duplicates: min(presence, 2*time.Minute),
			AllowRollup: true, DenyDelete: true,
			Description: "the consumers that are present",
		}),
	}
}

// look returns those of the streams that are there, and the bytes that they reserve.
func (c *Conn) look(ctx context.Context, wanted []jetstream.StreamConfig) (present map[string]jetstream.StreamConfig, ours int64, _ error) {
	present = map[string]jetstream.StreamConfig{}
	for _, s := range wanted {
		is, err := c.streamConfig(ctx, s.Name)
		switch {
		case isAbsent(err):
			continue
		case isNobody(err):
			return nil, 0, pipeline.Fail(c.withoutJetStream(), "look at stream %s: %w. If the NATS server has no JetStream, start it with -js", s.Name, err)
		case err != nil:
			return nil, 0, fmt.Errorf("look at stream %s: %w", s.Name, err)
		}
		if err := compatible(is, s); err != nil {
			return nil, 0, err
		}
		present[s.Name] = is
		ours += max(0, is.MaxBytes)
	}
	return present, ours, nil
}

// account returns what the account allows, with what others than these streams reserved of it.
func (c *Conn) account(ctx context.Context, ours int64) (account, error) {
	var info *jetstream.AccountInfo
	err := c.api(ctx, func(ctx context.Context) (err error) {
		info, err = c.js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return account{}, fmt.Errorf("read the limits of the NATS account: %w", err)
	}
	return accountOf(info, c.replicas, ours), nil
}

// explain adds the account's numbers to what it refused.
func (c *Conn) explain(ctx context.Context, err error, ours int64) error {
	if account, lookErr := c.account(ctx, ours); lookErr == nil {
		return explain(err, 0, account)
	}
	return err
}

func (c *Conn) streamConfig(ctx context.Context, name string) (jetstream.StreamConfig, error) {
	var is jetstream.StreamConfig
	err := c.api(ctx, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, name)
		if err == nil {
			is = s.CachedInfo().Config
		}
		return err
	})
	return is, err
}

// createStream creates a stream, or checks the one that another process has created meanwhile.
func (c *Conn) createStream(ctx context.Context, s jetstream.StreamConfig, account account) error {
	err := c.api(ctx, func(ctx context.Context) error {
		_, err := c.js.CreateStream(ctx, s)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		is, err := c.streamConfig(ctx, s.Name)
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", s.Name, err)
		}
		return compatible(is, s)
	}
	if err != nil {
		return explain(fmt.Errorf("create stream %s with %s: %w", s.Name, size(s.MaxBytes), err), s.MaxBytes, account)
	}
	return nil
}

// enlarge gives a stream more room. It never makes one smaller.
func (c *Conn) enlarge(ctx context.Context, s jetstream.StreamConfig, bytes int64, account account) error {
	before := s.MaxBytes
	s.MaxBytes = bytes
	err := c.api(ctx, func(ctx context.Context) error {
		_, err := c.js.UpdateStream(ctx, s)
		return err
	})
	if err != nil {
		return explain(fmt.Errorf("enlarge stream %s from %s to %s: %w", s.Name, size(before), size(bytes), err), bytes-before, account)
	}
	c.log.Info("enlarged a stream", zap.String("stream", s.Name), zap.String("from", size(before)), zap.String("to", size(bytes)))
	return nil
}

// compatible says in what a stream differs so that the rules of the pipeline would not hold.
func compatible(is, want jetstream.StreamConfig) error {
	var differs []string
	for _, d := range []struct {
		what     string
		is, want any
	}{
		{"subjects", is.Subjects, want.Subjects},
		{"retention", is.Retention, want.Retention},
		{"storage", is.Storage, want.Storage},
		{"discard policy", is.Discard, want.Discard},
		{"messages per subject", max(-1, is.MaxMsgsPerSubject), want.MaxMsgsPerSubject},
		{"discard new per subject", is.DiscardNewPerSubject, want.DiscardNewPerSubject},
		{"ages messages out", is.MaxAge > 0, want.MaxAge > 0},
		{"direct reads", is.AllowDirect, want.AllowDirect},
		{"sealed", is.Sealed, false},
		{"mirrors or sources another stream", is.Mirror != nil || len(is.Sources) > 0, false},
	} {
		if fmt.Sprint(d.is) != fmt.Sprint(d.want) {
			differs = append(differs, fmt.Sprintf("%s: %v instead of %v", d.what, d.is, d.want))
		}
	}
	if differs == nil {
		return nil
	}
	return pipeline.Fail(pipeline.Fatal, "stream %s is there with another configuration (%s): change or delete it, or use another NATS account",
		want.Name, strings.Join(differs, "; "))
}

// durableConfig is what all durables have in common: nothing is delivered to nobody for good, and
// nothing but the lease decides when a message is delivered again.
func durableConfig(name string, lease time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: lease, MaxDeliver: -1,
		MaxWaiting: 4096, // pulls parked by all workers; the server's default of 512 is less than a large pool
	}
}

// ensureDurable creates a durable, or brings the lease and the metadata of the one that is there
// up to date. What else it has, as a pause, stays; so does its lease if no other is wanted, and a
// new one gets newLease then.
func (c *Conn) ensureDurable(ctx context.Context, stream string, want jetstream.ConsumerConfig, newLease time.Duration) error {
	what := fmt.Sprintf("create durable %s on stream %s", want.Durable, stream)
	info, err := c.durableInfo(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		created := want
		created.AckWait = orDuration(want.AckWait, newLease)
		created.PauseUntil = c.pausedUntil(want.Durable)
		err = c.api(ctx, func(ctx context.Context) error {
			_, err := c.js.CreateConsumer(ctx, stream, created)
			return err
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return fmt.Errorf("%s: %w", what, err)
		}
		info, err = c.durableInfo(ctx, stream, want.Durable)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	is := info.Config
	c.pauses.Store(want.Durable, time.Now().Add(info.PauseRemaining))
	if is.AckPolicy != want.AckPolicy || is.FilterSubject != want.FilterSubject || is.MaxDeliver != want.MaxDeliver || len(is.BackOff) > 0 {
		return pipeline.Fail(pipeline.Fatal, "durable %s on stream %s is there with another ack policy, filter, delivery limit or backoff: delete it and start again",
			want.Durable, stream)
	}
	maps.DeleteFunc(is.Metadata, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") })
	want.AckWait = orDuration(want.AckWait, is.AckWait)
	if is.AckWait == want.AckWait && maps.Equal(is.Metadata, want.Metadata) {
		return nil
	}
	is.AckWait, is.Metadata = want.AckWait, want.Metadata
	err = c.api(ctx, func(ctx context.Context) error {
		_, err := c.js.UpdateConsumer(ctx, stream, is)
		return err
	})
	if err != nil {
		return fmt.Errorf("update durable %s on stream %s: %w", want.Durable, stream, err)
	}
	return nil
}

// pausedUntil returns until when a durable was paused that somebody has lost, or nil: it is
// paused again when it is made again, or what a person has stopped would go on.
func (c *Conn) pausedUntil(durable string) *time.Time {
	until, known := c.pauses.Load(durable)
	if !known || until.(time.Time).Before(time.Now()) {
		return nil
	}
	at := until.(time.Time)
	return &at
}

func (c *Conn) durableInfo(ctx context.Context, stream, name string) (info *jetstream.ConsumerInfo, err error) {
	err = c.api(ctx, func(ctx context.Context) error {
		durable, err := c.js.Consumer(ctx, stream, name)
		if err == nil {
			info = durable.CachedInfo()
		}
		return err
	})
	return info, err
}

// checkVersion refuses servers that lack what the streams are built on: durables with metadata
// that can be paused.
func (c *Conn) checkVersion() error {
	version := c.nc.ConnectedServerVersion()
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && slices.Compare([]int{major, minor}, []int{2, 11}) < 0 {
		return pipeline.Fail(pipeline.Fatal, "the NATS server has version %s: use 2.11 or later", version)
	}
	return nil
}
