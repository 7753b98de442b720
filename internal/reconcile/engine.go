// Package reconcile is the engine that asks "where is this batch?": it compares the store with the
// streams, queues again what the streams have lost, has doubtful verdicts judged by another GPU,
// redrives or drops dead letters, and proves that nothing is missing.
//
// It only moves batches. What a result holds does not matter to it: that is declared in
// pipeline.Result.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// PageSize is how many batches an engine reads from the store, and searches for on the queue, at
// once.
const PageSize = 1000

// Store is the part of the store that the engine reads and changes.
type Store interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error)
	BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error)
	// Requeue starts a new round if the batch is still in the state and round in which it was
	// seen, sets its opinions, and reports whether it did.
	Requeue(ctx context.Context, seen pipeline.Batch, opinions int, at time.Time) (bool, error)
	// Fail is the mirror's rule, see pipeline.Batch.Settle; it does nothing to a batch that is
	// done or in another round.
	Fail(ctx context.Context, run string, index, round int, failed []int, message string) (bool, error)
	// Drop marks a dead or queued batch as dropped if it is still in the state and round in which
	// it was seen, and reports whether it did.
	Drop(ctx context.Context, seen pipeline.Batch) (bool, error)
	// Pause writes down that a run is paused, unless it is already.
	Pause(ctx context.Context, run, uid string, pause pipeline.RunPause) error
}

// Streams hold the batches, results and dead letters that are under way, and know who is there.
type Streams interface {
	RunQueue
	BatchQueue
	BatchLists
	LetterBox
	Reports
}

// A RunQueue holds runs.
type RunQueue interface {
	EnsureRun(ctx context.Context, run pipeline.Run) error
	// KeepRun makes what is missing of a run's queue, as EnsureRun does, and returns what the queue
	// says of the run. It is cheap as long as nothing seems to be missing.
	KeepRun(ctx context.Context, run pipeline.Run) (pipeline.RunInfo, error)
	// RunInfo returns what the queue says of a run, or pipeline.ErrNoRun.
	RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error)
}

// A BatchQueue holds the batches and results of runs.
type BatchQueue interface {
	// Publish returns pipeline.ErrOutstanding if the batch is queued already and pipeline.ErrFull
	// if there is no room.
	// A message that is larger than the server takes is a pipeline.SizeError, and Fit returns what
	// of it can be sent, see pipeline.Fit.
	Publish(ctx context.Context, work pipeline.Work) error
	Fit(work pipeline.Work) (pipeline.Work, error)
	InWork(ctx context.Context, run string, batch int) (bool, error)
	InResults(ctx context.Context, run string, batch int) (bool, error)
	// FindWork returns the message of a batch, and whether there is one.
	FindWork(ctx context.Context, run string, batch int) (pipeline.StoredWork, bool, error)
	// RemoveWork takes the message of a batch off the queue by its sequence, and so never a later
	// one. A message that is gone is no error.
	RemoveWork(ctx context.Context, run string, batch int, sequence uint64) error
}

// BatchLists list many batches at once, and tell when they may have changed without a cause.
type BatchLists interface {
	// Queued returns the batches of a run that are on the queue, or some of them if there are
	// very many.
	Queued(ctx context.Context, run string) (map[int]bool, error)
	// Arriving returns the batches of a run with answers on their way to the store, or some of them
	// if there are very many.
	Arriving(ctx context.Context, run string) (map[int]bool, error)
	// OnReconnect has f called each time that there is a connection again, until stop is called. F
	// returns at once.
	OnReconnect(f func()) (stop func())
}

// A LetterBox holds dead letters.
type LetterBox interface {
	DeadLetter(ctx context.Context, run string, batch int) (pipeline.StoredDeadLetter, bool, error)
	// DeadLetters yields the dead letters of a run, or of all runs if run is empty, oldest first.
	DeadLetters(ctx context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error]
	// PublishDeadLetter replaces the letter of the batch.
	PublishDeadLetter(ctx context.Context, letter pipeline.DeadLetter) error
	// DeleteDeadLetter removes a letter by its sequence, and so never a newer one. A letter that
	// is gone is no error.
	DeleteDeadLetter(ctx context.Context, sequence uint64) error
}

// Reports are what consumers say about themselves, and what is said to them.
type Reports interface {
	// Consumers returns those that are present.
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
	// ReportRun writes down, for the consumers of a run and for people, how many GPUs serve it and
	// how many generations wait for a second opinion.
	ReportRun(ctx context.Context, run pipeline.Run, lanes, awaitOpinion int) error
}

// Config says how an Engine searches for batches. Zero values mean the defaults.
type Config struct {
	Lease time.Duration // how long a worker may hold a batch without a sign of life; default pipeline.DefaultLease
	Pause time.Duration // between two looks of an audit, and between two tries of a redrive; default 1 s
	// SweepEvery is how often a reconciler reads all dead letters and removes those whose batch is
	// done; default 40 leases. It costs traffic: every letter is transferred.
	SweepEvery time.Duration
	// Consumer is the only consumer that there can be, if there is only one, as in local mode. Those
	// before it had the same GPUs, so what they said is doubted only where the context has grown.
	Consumer string
	Log      *zap.Logger
}

// An Engine compares the store with the streams. Any number of engines may work on one run at the
// same time.
type Engine struct {
	cfg      Config
	store    Store
	streams  Streams
	newBuild func(run pipeline.Run) (pipeline.BuildFunc, error)
	log      *zap.Logger
	now      func() time.Time // the clock of this process, which is never compared with another's
	sleep    func(ctx context.Context, d time.Duration) error

	listFrom int // a test lowers it

	following sync.Mutex // held while a run begins or ends to be followed
	followed  sync.Map   // run → *follower: those that Reconcile and Unsettled share
}

// New returns an engine over this store and these streams. It calls newBuild once for each run of
// which it queues batches. An error names what is missing or the wrong field of the Config.
func New(cfg Config, store Store, streams Streams, newBuild func(run pipeline.Run) (pipeline.BuildFunc, error)) (*Engine, error) {
	switch {
	case store == nil || streams == nil || newBuild == nil:
		return nil, errors.New("reconcile: needs a store, streams and a builder of messages")
	case cfg.Lease < 0 || cfg.Pause < 0 || cfg.SweepEvery < 0:
		return nil, fmt.Errorf("reconcile: lease %s, pause %s and sweep every %s may not be negative", cfg.Lease, cfg.Pause, cfg.SweepEvery)
	}
	if cfg.Lease == 0 {
		cfg.Lease = pipeline.DefaultLease
	}
	if cfg.Pause == 0 {
		cfg.Pause = time.Second
	}
	if cfg.SweepEvery == 0 {
		cfg.SweepEvery = 40 * cfg.Lease
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Engine{
		cfg: cfg, store: store, streams: streams, newBuild: newBuild, log: cfg.Log,
		now: time.Now, sleep: outage.Sleep, listFrom: listFrom,
	}, nil
}

// readBatch reads one batch.
func (e *Engine) readBatch(ctx context.Context, run string, index int) (pipeline.Batch, error) {
	batches, err := e.store.BatchesAt(ctx, run, []int{index})
	if err == nil && len(batches) == 0 {
		err = fmt.Errorf("batch %s: %w", pipeline.BatchID(run, index), pipeline.ErrNoBatch)
	}
	if err != nil {
		return pipeline.Batch{}, err
	}
	return batches[0], nil
}

// workFor makes the message for the next round of a batch.
func workFor(ctx context.Context, build pipeline.BuildFunc, b pipeline.Batch) (pipeline.Work, error) {
	b.Round++
	works, err := build(ctx, []pipeline.Batch{b})
	if err != nil {
		return pipeline.Work{}, fmt.Errorf("making the message of batch %s: %w", b.ID(), err)
	}
	return works[0], nil
}
