// Package sink is the engine of the store's side: it collects results and dead letters from the
// streams, checks them, writes them to the store and only then acknowledges them.
package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// source hands out results and dead letters. Results returns what is there when wait is over, or
// as soon as there are max messages; DeadLettersToMirror as soon as there is one.
type source interface {
	Results(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error)
	DeadLettersToMirror(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.StoredDeadLetter], error)
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
}

// ledger is where they go.
type ledger interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error)
	WriteResults(ctx context.Context, results []pipeline.Results, at time.Time) (pipeline.Written, error)
	Fail(ctx context.Context, run string, index, round int, failed []int, message string) (bool, error)
	PutConsumers(ctx context.Context, consumers []pipeline.Presence) error
}

// DefaultFlushEvery is how long results wait for others to be written with.
const DefaultFlushEvery = time.Second

// Config says how the sink works. Zero values mean the defaults.
type Config struct {
	FlushMessages int           // messages of one write; default 128, about 1,000 results, at most 128 MiB
	FlushEvery    time.Duration // how long results wait for others to be written with; default DefaultFlushEvery
	ExtendEvery   time.Duration // how often held results are kept from others while the store is away; default 10 s
	Metrics       *Metrics      // nil: none
	Log           *zap.Logger
}

// A Sink moves results from the stream to the store, and tells the store of the dead letters.
type Sink struct {
	cfg      Config
	source   source
	ledger   ledger
	check    *checker
	rejected *rejections
	log      *zap.Logger

	mu      sync.Mutex
	written pipeline.Written
}

// New returns a sink between this stream and this store.
func New(cfg Config, from source, to ledger) (*Sink, error) {
	if from == nil || to == nil {
		return nil, errors.New("sink: needs a stream and a store")
	}
	if cfg.FlushMessages < 0 || cfg.FlushEvery < 0 || cfg.ExtendEvery < 0 {
		return nil, fmt.Errorf("sink: flush messages %d, flush every %s and extend every %s may not be negative",
			cfg.FlushMessages, cfg.FlushEvery, cfg.ExtendEvery)
	}
	if cfg.FlushMessages == 0 {
		cfg.FlushMessages = 128
	}
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = DefaultFlushEvery
	}
	if cfg.ExtendEvery == 0 {
		cfg.ExtendEvery = 10 * time.Second
	}
	cfg.FlushEvery = min(cfg.FlushEvery, cfg.ExtendEvery) // what waits to be written is held already
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Sink{
		cfg: cfg, source: from, ledger: to, log: cfg.Log,
		check: newChecker(to), rejected: &rejections{log: cfg.Log, metrics: cfg.Metrics},
	}, nil
}

// Written returns how many results this sink has written so far.
func (s *Sink) Written() pipeline.Written {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// Run moves results and dead letters until ctx ends, and returns nil then. What is held at that
// moment and not written yet stays on the stream. While the stream or the store is away it waits
// and says why.
func (s *Sink) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { s.watchConsumers(ctx); return nil })
	group.Go(func() error { s.move(ctx); return nil })
	group.Go(func() error { s.mirror(ctx); return nil })
	return group.Wait()
}

// IdlePull is how long a pull waits for the first results after a quiet moment. Each pull costs
// traffic, and free traffic is counted; a pull that is lost with its connection is missed for this
// long.
const IdlePull = 5 * time.Second

func (s *Sink) move(ctx context.Context) {
	var away outage.Reporter
	quiet := false
	for ctx.Err() == nil {
		most, wait := s.cfg.FlushMessages, s.cfg.FlushEvery
		if quiet {
			most, wait = 1, max(wait, IdlePull) // the first ends the wait, and those that follow are gathered again
		}
		deliveries, err := s.source.Results(ctx, most, wait)
		quiet = err == nil && len(deliveries) == 0
		s.read(ctx, "results", &away, err)
		if len(deliveries) > 0 {
			s.flush(ctx, deliveries)
		}
	}
}

// read says how reading from the stream went, and rests a moment if it failed.
func (s *Sink) read(ctx context.Context, what string, away *outage.Reporter, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil && away.Ends():
		s.log.Info("the stream hands out " + what + " again")
	case err == nil:
	default:
		if away.Begins(err) {
			s.log.Warn("cannot read "+what+" from the stream; nothing is lost, trying again until it works", zap.Error(err))
		}
		sleep(ctx, time.Second)
	}
}

// flush writes what was delivered, however long the store takes, and acknowledges it.
func (s *Sink) flush(ctx context.Context, deliveries []pipeline.Delivery[pipeline.Results]) {
	started := time.Now()
	stop := hold(ctx, s.log, s.cfg.ExtendEvery, deliveries)
	defer stop()

	var good []pipeline.Delivery[pipeline.Results]
	ok := s.persist(ctx, "checking results", func() error {
		var bad []rejection
		var err error
		if good, bad, err = s.check.sort(ctx, deliveries); err == nil {
			s.rejected.reject(ctx, bad)
		}
		return err
	})
	if !ok || len(good) == 0 {
		return
	}
	results := make([]pipeline.Results, len(good))
	for i, d := range good {
		results[i] = d.Body
	}
	var written pipeline.Written
	ok = s.persist(ctx, "writing results to the store", func() error {
		var err error
		written, err = s.ledger.WriteResults(ctx, results, time.Now().UTC())
		return err
	})
	if !ok {
		return
	}
	s.count(written)
	acknowledge(ctx, s.log, good)
	s.cfg.Metrics.flushed(written, time.Since(started), results)
	s.log.Debug("results stored", zap.Int("new", written.New), zap.Int("duplicate", written.Duplicate), zap.Duration("took", time.Since(started)))
}

// persist tries until it succeeds or ctx ends, and reports which. It says once why it waits, and
// when that is over.
func (s *Sink) persist(ctx context.Context, doing string, try func() error) bool {
	failures := 0
	var away outage.Reporter
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := try()
		if err != nil && ctx.Err() == nil {
			failures++
			if away.Begins(err) {
				s.log.Warn(doing+" fails; nothing is lost, trying again until it works", zap.Error(err))
			}
			s.cfg.Metrics.storeFailures.Inc()
		}
		return struct{}{}, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: 10 * time.Second,
	}), backoff.WithMaxElapsedTime(0))
	if err == nil && away.Ends() {
		s.log.Info(doing+" works again", zap.Int("failures", failures))
	}
	return err == nil
}

func (s *Sink) count(w pipeline.Written) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written.New += w.New
	s.written.Duplicate += w.Duplicate
}

// acknowledge removes what is written from the stream. A message whose ack is lost comes again
// and changes nothing.
func acknowledge[T any](ctx context.Context, log *zap.Logger, deliveries []pipeline.Delivery[T]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(16) // round trips at a time
	for _, d := range deliveries {
		group.Go(func() error { return d.Ack(ctx) })
	}
	if err := group.Wait(); err != nil {
		log.Debug("acknowledging messages", zap.Error(err))
	}
}

// hold keeps deliveries from being given to somebody else while the store takes its time.
func hold[T any](ctx context.Context, log *zap.Logger, every time.Duration, deliveries []pipeline.Delivery[T]) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, every) {
			for _, d := range deliveries {
				if err := d.Extend(ctx); err != nil && ctx.Err() == nil {
					log.Debug("renewing a lease", zap.String("subject", d.Subject), zap.Error(err))
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// sleep waits for d and reports whether ctx was still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
