// Package sink is the engine of the store's side: it collects results and dead letters from the
// streams, checks them, writes them to the store, and only then acknowledges them. It also exports
// the answers of a run.
//
// It holds each run to one digest of its model, and passes results on as they are. What a result
// holds is declared in pipeline.Result, filled in by the consumer, stored by the store and shown by
// the dataset that is exported.
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

// DefaultFlushEvery is how long results wait to be written together with others.
const DefaultFlushEvery = time.Second

// Config says how the sink works. Zero values mean the defaults.
type Config struct {
	FlushMessages int           // messages of one write; default 128, about 1,000 results, at most 128 MiB
	FlushEvery    time.Duration // how long results wait to be written with others; default DefaultFlushEvery
	ExtendEvery   time.Duration // how often the leases of held results are renewed while the store is away; default 10 s
	// Compare asks whether the streams are this store's, before a message is removed that is not
	// stored. Nil: they can be no other's.
	Compare func(ctx context.Context) error
	Metrics *Metrics // nil: none
	Log     *zap.Logger
}

// A Sink moves results from the stream to the store, and writes to the store which generations are
// under dead letters.
type Sink struct {
	cfg      Config
	source   Source
	store    Store
	check    *checker
	pins     *pinner
	rejected *rejections // what fits nothing in the store
	refused  *rejections // what is of another digest than its run
	forged   *rejections // what comes without its token
	tooOld   *tooOld
	log      *zap.Logger

	mu      sync.Mutex
	written pipeline.Written
	lag     time.Duration // of the oldest message of the last write
	wroteAt time.Time
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
	cfg.FlushEvery = min(cfg.FlushEvery, cfg.ExtendEvery) // no lease is renewed while results are collected
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Sink{
		cfg: cfg, source: source, store: store, log: cfg.Log,
		check: newChecker(store), pins: newPinner(store, cfg.Log),
		rejected: &rejections{log: cfg.Log, count: cfg.Metrics.rejected.Inc, says: "results refused; their batch stays outstanding"},
		refused:  &rejections{log: cfg.Log, count: cfg.Metrics.otherDigest.Inc, says: "results of another digest refused; their batch is generated again"},
		forged: &rejections{
			log: cfg.Log, count: cfg.Metrics.noToken.Inc,
			says: "results without the token of their batch refused: their consumers are too old, or answer what they were not handed; the batch is generated again",
		},
		tooOld: &tooOld{store: store, log: cfg.Log},
	}, nil
}

// Written returns how many results this sink has written so far.
func (s *Sink) Written() pipeline.Written {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// Lag returns when this sink wrote results last, and how old the oldest message of them was then:
// how long it took to the store, by the clocks of two programs. Zero: never.
func (s *Sink) Lag() (wrote time.Time, lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wroteAt, s.lag
}

// Run moves results and dead letters until ctx ends, and then returns nil. What it holds then and
// has not written yet stays on the stream. While the stream or the store is away it waits and says
// why.
func (s *Sink) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { s.watchConsumers(ctx); return nil })
	group.Go(func() error { s.moveResults(ctx); return nil })
	group.Go(func() error { s.mirrorDeadLetters(ctx); return nil })
	return group.Wait()
}

// reading returns the loop that reports outages of the stream.
func (s *Sink) reading(what string) *outage.Loop {
	return &outage.Loop{
		Log: s.log, Away: "cannot read " + what + " from the stream; nothing is lost, trying again until it works",
		Back: "the stream hands out " + what + " again",
	}
}

// observe reports the outcome of a read from the stream, and waits a moment if it failed.
func observe(ctx context.Context, reading *outage.Loop, err error) {
	if ctx.Err() != nil {
		return
	}
	reading.Observe(err)
	if err != nil {
		_ = outage.Sleep(ctx, time.Second) // the caller sees that ctx has ended
	}
}

// persist repeats try until it succeeds, and returns false if ctx ends before that. It logs once
// why it waits, and when the outage is over.
func (s *Sink) persist(ctx context.Context, doing string, try func() error) bool {
	loop := outage.Loop{
		Log: s.log, Away: doing + " fails; nothing is lost, trying again until it works", Back: doing + " works again",
		Stops: func(error) bool { return false }, // results are worth waiting for, whatever the store says
	}
	err := loop.Do(ctx, func(ctx context.Context) error {
		err := try()
		if err != nil && ctx.Err() == nil {
			s.cfg.Metrics.storeFailures.Inc()
		}
		return err
	})
	return err == nil
}
