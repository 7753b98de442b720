// Package sink is the engine of the store's side: it collects results and dead letters from the
// streams, checks them, writes them to the store and only then acknowledges them. And it exports a
// run.
//
// It passes results on as they are. What a result holds is declared in pipeline.Result, filled in
// by the consumer, stored by the store and shown by the dataset that is exported.
package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// Source is where results and dead letters come from.
type Source interface {
	// Results returns what is there when wait is over, or as soon as there are max messages.
	Results(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error)
	// DeadLettersToMirror returns as soon as there is one, or when wait is over.
	DeadLettersToMirror(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.StoredDeadLetter], error)
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
}

// Store is the part of the store that results and dead letters are checked against and written to.
type Store interface {
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
	source   Source
	store    Store
	check    *checker
	rejected *rejections
	log      *zap.Logger

	mu      sync.Mutex
	written pipeline.Written
}

// New returns a sink between this source and this store. An error names what is missing or the
// fields of the Config that are wrong.
func New(cfg Config, source Source, store Store) (*Sink, error) {
	if source == nil || store == nil {
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
		cfg: cfg, source: source, store: store, log: cfg.Log,
		check: newChecker(store), rejected: &rejections{log: cfg.Log, metrics: cfg.Metrics},
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
	reading := s.reading("results")
	quiet := false
	for ctx.Err() == nil {
		most, wait := s.cfg.FlushMessages, s.cfg.FlushEvery
		if quiet {
			most, wait = 1, max(wait, IdlePull) // the first ends the wait, and those that follow are gathered again
		}
		deliveries, err := s.source.Results(ctx, most, wait)
		quiet = err == nil && len(deliveries) == 0
		observe(ctx, reading, err)
		if len(deliveries) > 0 {
			s.flush(ctx, deliveries)
		}
	}
}

// reading returns what reports how reading from the stream goes.
func (s *Sink) reading(what string) *outage.Loop {
	return &outage.Loop{
		Log: s.log, Away: "cannot read " + what + " from the stream; nothing is lost, trying again until it works",
		Back: "the stream hands out " + what + " again",
	}
}

// observe reports how a read from the stream went, and waits a moment if it failed.
func observe(ctx context.Context, reading *outage.Loop, err error) {
	if ctx.Err() != nil {
		return
	}
	reading.Observe(err)
	if err != nil {
		_ = outage.Sleep(ctx, time.Second) // the caller sees that ctx has ended
	}
}

// flush writes what was delivered, however long the store takes, and acknowledges it.
func (s *Sink) flush(ctx context.Context, deliveries []pipeline.Delivery[pipeline.Results]) {
	started := time.Now()
	stop := renewLeases(ctx, s.log, s.cfg.ExtendEvery, deliveries)
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
		written, err = s.store.WriteResults(ctx, results, time.Now().UTC())
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
	loop := outage.Loop{
		Log: s.log, Away: doing + " fails; nothing is lost, trying again until it works",
		Stops: func(error) bool { return false }, // results are worth waiting for, whatever the store says
	}
	err := loop.Do(ctx, func(ctx context.Context) error {
		err := try()
		if err != nil && ctx.Err() == nil {
			failures++
			s.cfg.Metrics.storeFailures.Inc()
		}
		return err
	})
	if err == nil && failures > 0 {
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
