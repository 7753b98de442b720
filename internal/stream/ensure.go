package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// DefaultSinkLease is the lease of results and dead letters. It is long enough for a write with
// retries, and short enough that the messages of a sink that died come back soon.
const DefaultSinkLease = 30 * time.Second

// A provisioner creates the streams and their durables, and checks those that exist.
//
// Other processes do the same at the same time, so every step tolerates that another one was
// faster:
//
//  1. look reads which streams exist, and refuses one whose rules differ.
//  2. provide asks for the account's limits, divides them, and creates what is missing. If a stream
//     has appeared meanwhile, it is checked as in step 1, and its size is left as it is.
//  3. If the account has less storage left than in step 2, because another process has created
//     streams meanwhile, all begins again with step 1. A size that a person chose is not tried
//     again: it has to be chosen smaller.
//  4. The durables of the store's side come last, because they need their streams. If one has
//     appeared meanwhile, its lease and metadata are updated.
type provisioner struct {
	c        *client
	durables durables

	lease     time.Duration // of a batch; 0 keeps the one of a durable that exists
	sinkLease time.Duration // of results and dead letters; the same
	replicas  int
	maxBytes  int64
	enlarge   bool

	ensured atomic.Bool            // all streams existed once
	sure    atomic.Pointer[doubts] // when they did last
}

// doubts count what may mean that a stream is gone.
type doubts struct {
	reconnects uint64
	absences   int64 // of a stream or a durable
}

func newProvisioner(c *client, cfg Config) *provisioner {
	return &provisioner{
		c: c, durables: newDurables(c), lease: cfg.Lease, sinkLease: cfg.SinkLease,
		replicas: max(1, cfg.Replicas), maxBytes: cfg.MaxBytes, enlarge: cfg.Enlarge,
	}
}

// ensure creates what is missing, and checks the rest.
func (p *provisioner) ensure(ctx context.Context) error {
	if err := p.c.owner.allows(ctx); err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		err := p.ensureOnce(ctx)
		// Another process may have taken storage between our look and our request.
		if err == nil || code(err) != codeStorage || p.maxBytes > 0 || tries == 3 {
			return err
		}
	}
}

func (p *provisioner) ensureOnce(ctx context.Context) error {
	if err := p.checkVersion(); err != nil {
		return err
	}
	seen := p.doubts()
	wanted := streamConfigs(p.replicas, cmp.Or(p.lease, pipeline.DefaultLease))
	present, ours, err := p.look(ctx, wanted)
	if err != nil {
		return err
	}
	if len(present) < len(wanted) || p.enlarge {
		if err := p.provide(ctx, wanted, present, ours); err != nil {
			return err
		}
	}
	p.ensured.Store(true)
	for stream, name := range map[string]string{ResultsStream: sinkDurable, DeadStream: mirrorDurable} {
		if _, err := p.durables.ensure(ctx, stream, durableConfig(name, p.sinkLease), DefaultSinkLease); err != nil {
			return p.explain(ctx, err, ours)
		}
	}
	p.sure.Store(&seen)
	return nil
}

// doubts returns what may have happened so far.
func (p *provisioner) doubts() doubts {
	return doubts{p.c.nc.Stats().Reconnects, p.c.absences.Load()}
}

// keepRun does what ensureRun does. If nothing has happened since the streams were seen that may
// mean that one is gone, it asks for the durable alone. It returns what the durable says.
func (p *provisioner) keepRun(ctx context.Context, run pipeline.Run) (pipeline.RunInfo, error) {
	if err := pipeline.ValidateRunName(run.Name); err != nil {
		return pipeline.RunInfo{}, err
	}
	if sure := p.sure.Load(); sure == nil || *sure != p.doubts() {
		if err := p.ensure(ctx); err != nil {
			return pipeline.RunInfo{}, err
		}
	}
	info, err := p.durables.ensure(ctx, WorkStream, runDurable(run, p.lease, nil), pipeline.DefaultLease)
	if err != nil {
		return pipeline.RunInfo{}, p.explainDurable(ctx, err)
	}
	return runInfo(info), nil
}

// setSinkLease changes the lease of a durable of the store's side that exists, if this process
// wants another one.
func (p *provisioner) setSinkLease(ctx context.Context, d *durable) error {
	if p.sinkLease == 0 {
		return nil
	}
	_, err := p.durables.ensure(ctx, d.stream, durableConfig(d.name, p.sinkLease), 0)
	return err
}

// ensureRun does that, and the same for the durable of a run, whose metadata get more.
func (p *provisioner) ensureRun(ctx context.Context, run pipeline.Run, more map[string]string) error {
	if err := pipeline.ValidateRunName(run.Name); err != nil {
		return err
	}
	if err := p.ensure(ctx); err != nil {
		return err
	}
	_, err := p.durables.ensure(ctx, WorkStream, runDurable(run, p.lease, more), pipeline.DefaultLease)
	return p.explainDurable(ctx, err)
}

// explainDurable adds the account's numbers where it refuses a durable because it has too many.
func (p *provisioner) explainDurable(ctx context.Context, err error) error {
	if code(err) == codeConsumers {
		return p.explain(ctx, err, 0)
	}
	return err
}

// provide creates the streams that are missing, within what the account has left beside the present
// ones, and enlarges those if that is wanted.
func (p *provisioner) provide(ctx context.Context, wanted []jetstream.StreamConfig, present map[string]jetstream.StreamConfig, ours int64) error {
	account, err := p.account(ctx, ours)
	if err != nil {
		return err
	}
	sizes, err := streamSizes(p.maxBytes, account)
	if err != nil {
		return err
	}
	for _, s := range wanted {
		s.MaxBytes = sizes[s.Name]
		is, ok := present[s.Name]
		switch {
		case !ok:
			err = p.createStream(ctx, s, account)
		case p.enlarge && is.MaxBytes > 0 && is.MaxBytes < s.MaxBytes:
			err = p.enlargeStream(ctx, is, s.MaxBytes, account)
		}
		if err != nil {
			return err
		}
		if !ok && p.ensured.Load() {
			p.c.log.Warn("a stream was gone, with all that was on it, and is made again; `"+advice.Command("publish", "--run", "NAME", "--follow")+"` puts right what was lost", zap.String("stream", s.Name))
		}
	}
	return nil
}

// look returns the streams that exist, and the bytes that they reserve. It asks about all of them
// at once, since the server may be far away.
func (p *provisioner) look(ctx context.Context, wanted []jetstream.StreamConfig) (present map[string]jetstream.StreamConfig, ours int64, _ error) {
	found, errs := make([]jetstream.StreamConfig, len(wanted)), make([]error, len(wanted))
	var asking sync.WaitGroup
	for i, s := range wanted {
		asking.Go(func() { found[i], errs[i] = p.streamConfig(ctx, s.Name) })
	}
	asking.Wait()
	present = map[string]jetstream.StreamConfig{}
	for i, is := range found {
		switch {
		case isAbsent(errs[i]):
			continue
		case errs[i] != nil:
			return nil, 0, errs[i]
		}
		if err := errors.Join(compatible(is, wanted[i]), p.c.owner.checkOwner(is)); err != nil {
			return nil, 0, err
		}
		present[is.Name] = is
		ours += max(0, is.MaxBytes)
	}
	return present, ours, nil
}

// account returns what the account allows, and what streams other than ours have reserved of it.
func (p *provisioner) account(ctx context.Context, ours int64) (account, error) {
	var info *jetstream.AccountInfo
	err := p.c.api(ctx, func(ctx context.Context) (err error) {
		info, err = p.c.js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return account{}, fmt.Errorf("read the limits of the NATS account: %w", err)
	}
	return accountOf(info, p.replicas, ours), nil
}

// explain adds the account's numbers to a refusal.
func (p *provisioner) explain(ctx context.Context, err error, ours int64) error {
	if account, lookErr := p.account(ctx, ours); lookErr == nil {
		return explainRefusal(err, 0, account)
	}
	return err
}

func (p *provisioner) streamConfig(ctx context.Context, name string) (jetstream.StreamConfig, error) {
	var is jetstream.StreamConfig
	what := "look at stream " + name
	err := p.c.api(ctx, func(ctx context.Context) error {
		s, err := p.c.js.Stream(ctx, name)
		if err == nil {
			is = s.CachedInfo().Config
		}
		return err
	})
	if isNoResponders(err) {
		return is, pipeline.Fail(p.c.withoutJetStream(), "%s: %w. If the NATS server has no JetStream, start it with -js", what, err)
	}
	return is, wrapped(what, err)
}

// createStream creates a stream, or checks the one that another process has created meanwhile.
func (p *provisioner) createStream(ctx context.Context, s jetstream.StreamConfig, account account) error {
	if store := p.c.owner.store.Load(); store != nil && slices.Contains(ownedStreams(), s.Name) {
		s.Metadata = withOwner(nil, *store)
	}
	err := p.c.api(ctx, func(ctx context.Context) error {
		_, err := p.c.js.CreateStream(ctx, s)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		is, err := p.streamConfig(ctx, s.Name)
		if err != nil {
			return err
		}
		return errors.Join(compatible(is, s), p.c.owner.checkOwner(is))
	}
	if err != nil {
		return explainRefusal(fmt.Errorf("create stream %s with %s: %w", s.Name, sizeText(s.MaxBytes), err), s.MaxBytes, account)
	}
	return nil
}

// enlargeStream gives a stream more room. It never makes one smaller.
func (p *provisioner) enlargeStream(ctx context.Context, s jetstream.StreamConfig, bytes int64, account account) error {
	before := s.MaxBytes
	s.MaxBytes = bytes
	err := p.c.api(ctx, func(ctx context.Context) error {
		_, err := p.c.js.UpdateStream(ctx, s)
		return err
	})
	if err != nil {
		return explainRefusal(fmt.Errorf("enlarge stream %s from %s to %s: %w", s.Name, sizeText(before), sizeText(bytes), err), bytes-before, account)
	}
	p.c.log.Info("enlarged a stream", zap.String("stream", s.Name), zap.String("from", sizeText(before)), zap.String("to", sizeText(bytes)))
	return nil
}

// checkVersion refuses servers that lack what the streams are built on: durables that have metadata
// and can be paused.
func (p *provisioner) checkVersion() error {
	version := p.c.nc.ConnectedServerVersion()
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && slices.Compare([]int{major, minor}, []int{2, 11}) < 0 {
		return pipeline.Fail(pipeline.Fatal, "the NATS server has version %s: use 2.11 or later", version)
	}
	return nil
}
