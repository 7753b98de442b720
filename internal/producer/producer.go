// Package producer is the engine of the operator's side: it turns the rows of a dataset into the
// items and batches of a run, publishes each batch, follows the run to its end, and pauses, pins,
// cancels or deletes it.
package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// DefaultPoll is the default of Config.Poll.
const DefaultPoll = time.Second

// tellFullEvery is how often a queue that is full again after each batch is reported.
const tellFullEvery = 5 * time.Minute

// Store is the part of the store that a Publisher needs.
type Store interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
	Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error)
	MarkQueued(ctx context.Context, run string, indexes []int, at time.Time) error
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
	Resume(ctx context.Context, run, uid string, at time.Time) error
}

// Queue is where batches are published.
type Queue interface {
	EnsureRun(ctx context.Context, run pipeline.Run) error
	// Publish returns pipeline.ErrOutstanding if the batch is queued already and pipeline.ErrFull
	// if there is no room. A message that is larger than the server takes is a pipeline.SizeError,
	// and Fit returns what of it can be sent, see pipeline.Fit.
	Publish(ctx context.Context, work pipeline.Work) error
	Fit(work pipeline.Work) (pipeline.Work, error)
	PublishDeadLetter(ctx context.Context, letter pipeline.DeadLetter) error
	Depth(ctx context.Context, run string) (pipeline.StreamDepth, error)
	// Consumers returns the consumers that are present, of all runs.
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
	// CompleteRun tells the consumers that no work will come.
	CompleteRun(ctx context.Context, run pipeline.Run) error
	Teller
}

// Config says how a run is published. Zero values mean the defaults.
type Config struct {
	// Window is how many batches are outstanding at a time, at most. Default: pipeline.LeastWindow, or
	// pipeline.WindowEach for each worker that is present, whichever is more.
	Window  int
	Poll    time.Duration // the time between two looks at the run while waiting; default DefaultPoll
	Metrics *Metrics      // nil: none
	Log     *zap.Logger

	// MaxFailures says when FollowToEnd pauses the run, with PauseRun; nil: never.
	MaxFailures FailureLimit
	PauseRun    func(ctx context.Context, run pipeline.Run, cause pipeline.PauseCause, reason string) error
}

// A Publisher puts the batches of a run on the queue and follows the run to its end. Several
// publishers of the same run do no harm: a batch can be on the queue only once.
type Publisher struct {
	cfg   Config
	store Store
	queue Queue
	log   *zap.Logger
	began time.Time
	count atomic.Int64 // batches published by this publisher
	share atomic.Int64 // among how many runs that are attended the window is divided; 0: one
	full  outage.Reporter
	looks outage.Trust // in the store
	sends outage.Trust // in the queue

	saidLarge atomic.Bool // that rows are too large for the server

	mu       sync.Mutex
	unmarked map[string][]int                 // by a run's uid: batches on the queue that the store still has as planned
	large    map[string]map[int]pipeline.Work // by a run's uid and batch: too large for the server, and not on the queue yet although it may be marked
	said     map[string]bool                  // by a run's uid: its consumers were told that it is published
}

// NewPublisher returns a publisher from this store to this queue. An error names what is missing or
// the wrong field of the Config.
func NewPublisher(cfg Config, store Store, queue Queue) (*Publisher, error) {
	switch {
	case store == nil || queue == nil:
		return nil, errors.New("producer: needs a store and a queue")
	case cfg.Window < 0:
		return nil, fmt.Errorf("producer: window %d is negative", cfg.Window)
	case cfg.Poll < 0:
		return nil, fmt.Errorf("producer: poll %s is negative", cfg.Poll)
	}
	if cfg.Poll == 0 {
		cfg.Poll = DefaultPoll
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Publisher{
		cfg: cfg, store: store, queue: queue, log: cfg.Log, began: time.Now(),
		full: outage.Reporter{Quiet: tellFullEvery}, unmarked: map[string][]int{}, large: map[string]map[int]pipeline.Work{}, said: map[string]bool{},
	}, nil
}

// Published returns how many batches this publisher has put on the queue so far.
func (p *Publisher) Published() int { return int(p.count.Load()) }
