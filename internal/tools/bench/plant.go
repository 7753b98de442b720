package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/consumer"
	"gleaner/internal/faultproxy"
	"gleaner/internal/natsd"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// A plant is the real parts around a measurement: a NATS server that listens on TCP, a store, and
// a connection for each program.
type plant struct {
	cfg    plantConfig
	nats   *natsd.Server
	proxy  *faultproxy.Proxy // nil: the programs connect without a detour
	ledger store.Store
	conns  []*stream.Conn
}

// plantConfig says what kind of parts.
type plantConfig struct {
	dir        string
	store      string        // URI
	syncAlways bool          // of NATS
	delay      time.Duration // between NATS and the programs, each way
	lease      time.Duration // 0: the default
}

func newPlant(ctx context.Context, cfg plantConfig) (p *plant, err error) {
	p = &plant{cfg: cfg}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.nats, err = natsd.Start(natsd.Config{Dir: filepath.Join(cfg.dir, "nats"), Port: -1, SyncAlways: cfg.syncAlways})
	if err != nil {
		return p, err
	}
	if cfg.delay > 0 {
		if p.proxy, err = faultproxy.Start(strings.TrimPrefix(p.nats.URL(), "nats://")); err != nil {
			return p, err
		}
		p.proxy.Delay(cfg.delay)
	}
	if p.ledger, err = store.Open(ctx, cfg.store); err != nil {
		return p, err
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return p, err
	}
	return p, conn.Ensure(ctx)
}

// connect returns a connection such as each program has one.
func (p *plant) connect(ctx context.Context) (*stream.Conn, error) {
	url := p.nats.URL()
	if p.proxy != nil {
		url = "nats://" + p.proxy.Addr()
	}
	conn, err := stream.Connect(ctx, stream.Config{URL: url, Name: "bench", Lease: p.cfg.lease})
	if err == nil {
		p.conns = append(p.conns, conn)
	}
	return conn, err
}

func (p *plant) close() {
	for _, conn := range p.conns {
		conn.Close()
	}
	if p.proxy != nil {
		p.proxy.Close()
	}
	if p.ledger != nil {
		_ = p.ledger.Close() // what was measured was committed
	}
	if p.nats != nil {
		p.nats.Shutdown()
	}
}

// An outcome is what a run took.
type outcome struct {
	began     time.Time // when the producer was told to publish; the consumers were waiting
	stored    time.Time // when the last result was in the store
	cores     float64   // processors that this process used on average; 0 = not known
	duplicate int       // results that were generated twice
	waiting   waiting
}

// waiting is what stood in the queues on average: where it piles up, those behind the queue are
// the slowest.
type waiting struct {
	Batches  float64 `json:"waiting_batches"` // for a worker
	Held     float64 `json:"held_batches"`    // by workers
	Messages float64 `json:"waiting_results"` // for the sink, those that it holds included
}

// generate publishes a loaded run, answers it with consumers that have these GPUs and stores the
// results, until all are stored. All programs are engines in this process, each with a connection
// of its own.
func (p *plant) generate(ctx context.Context, run pipeline.Run, consumers [][]consumer.LaneConfig) (outcome, error) {
	publisher, reconciler, writer, workers, err := p.engines(ctx, run, consumers)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, running := errgroup.WithContext(ctx)
	for _, w := range workers {
		group.Go(func() error { return w.Run(running) })
	}
	group.Go(func() error { return writer.Run(running) })
	before := cpuTime()
	o := outcome{began: time.Now()}
	group.Go(func() error {
		if _, err := publisher.FollowToEnd(running, run.Name, reconciler, nil); err != nil && running.Err() == nil {
			return err
		}
		return nil
	})
	group.Go(func() error { o.waiting = p.sample(running, run.Name); return nil })
	waitUntil(running, func() bool { return writer.Written().New >= run.Generations })
	o.stored = time.Now()
	o.cores = (cpuTime() - before).Seconds() / o.stored.Sub(o.began).Seconds()
	o.duplicate = writer.Written().Duplicate
	failed := running.Err() != nil
	cancel()
	if err := group.Wait(); err != nil {
		return o, err
	}
	if failed {
		return o, errors.Join(ctx.Err(), fmt.Errorf("run %s did not end: %d of %d generations are stored", run.Name, writer.Written().New, run.Generations))
	}
	return o, nil
}

// sample looks at the queues until ctx ends and returns what it saw on average.
func (p *plant) sample(ctx context.Context, run string) waiting {
	const every = 250 * time.Millisecond // seldom enough to cost nothing
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var sum waiting
	n := 0.0
	for {
		select {
		case <-ticker.C:
			if depth, err := p.conns[0].Depth(ctx, run); err == nil {
				n++
				sum.Batches += float64(depth.Waiting)
				sum.Held += float64(depth.Held)
				sum.Messages += float64(depth.Results)
			}
		case <-ctx.Done():
			n = max(n, 1)
			return waiting{sum.Batches / n, sum.Held / n, sum.Messages / n}
		}
	}
}

// waitUntil looks every two milliseconds until it is so or ctx ends.
func waitUntil(ctx context.Context, so func() bool) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !so() && ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (p *plant) engines(ctx context.Context, run pipeline.Run, consumers [][]consumer.LaneConfig) (*producer.Publisher, *reconcile.Engine, *sink.Sink, []*consumer.Consumer, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	publisher, err := producer.NewPublisher(producer.Config{}, p.ledger, conn)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	reconciler, err := reconcile.New(reconcile.Config{Lease: p.cfg.lease}, p.ledger, conn, producer.BuildFrom(p.ledger))
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if err := conn.EnsureRun(ctx, run); err != nil {
		return nil, nil, nil, nil, err
	}
	if conn, err = p.connect(ctx); err != nil {
		return nil, nil, nil, nil, err
	}
	writer, err := sink.New(sink.Config{ExtendEvery: p.cfg.lease / 3}, conn, p.ledger)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	var workers []*consumer.Consumer
	for _, gpus := range consumers {
		if conn, err = p.connect(ctx); err != nil {
			return nil, nil, nil, nil, err
		}
		w, err := consumer.New(consumer.Config{
			Identity: pipeline.Presence{ID: ulid.Make().String(), Run: run.Name, Model: run.Spec.Model}, Lease: p.cfg.lease,
		}, conn.Work(run.Name), conn, gpus)
		if err != nil {
			return nil, nil, nil, nil, err
		}
		workers = append(workers, w)
	}
	return publisher, reconciler, writer, workers, nil
}
