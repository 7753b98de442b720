package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/consumer"
	"gleaner/internal/faultproxy"
	"gleaner/internal/natsd"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// Of the consumers in a testbed.
const (
	gpuSlots        = 8
	gpusPerConsumer = 2 // as in a notebook with two T4s
)

// A testbed is the real parts around a measurement: a NATS server that listens on TCP, a store, and
// a connection for each program.
type testbed struct {
	cfg   testbedConfig
	nats  *natsd.Server
	proxy *faultproxy.Proxy // nil: the programs connect directly
	store store.Store
	conns []*stream.Conn
}

// testbedConfig says which parts a testbed has.
type testbedConfig struct {
	dir        string
	storeURI   string
	syncAlways bool          // of NATS
	delay      time.Duration // between NATS and the programs, each way
	lease      time.Duration // 0: the default

	restartAfter time.Duration // of NATS, once, after the run was published; 0: never
}

func newTestbed(ctx context.Context, cfg testbedConfig) (b *testbed, err error) {
	b = &testbed{cfg: cfg}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	b.nats, err = natsd.Start(natsd.Config{Dir: filepath.Join(cfg.dir, "nats"), Port: -1, SyncAlways: cfg.syncAlways})
	if err != nil {
		return b, err
	}
	if cfg.delay > 0 {
		if b.proxy, err = faultproxy.Start(strings.TrimPrefix(b.nats.URL(), "nats://")); err != nil {
			return b, err
		}
		b.proxy.Delay(cfg.delay)
	}
	if b.store, err = store.Open(ctx, cfg.storeURI); err != nil {
		return b, err
	}
	conn, err := b.connect(ctx)
	if err != nil {
		return b, err
	}
	return b, conn.Ensure(ctx)
}

// restart ends NATS and starts it again, on the same folder and port.
func (b *testbed) restart() error {
	address, err := url.Parse(b.nats.URL())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		return err
	}
	b.nats.Shutdown()
	again, err := natsd.Start(natsd.Config{Dir: filepath.Join(b.cfg.dir, "nats"), Port: port, SyncAlways: b.cfg.syncAlways})
	if err != nil {
		return err
	}
	b.nats = again
	return nil
}

// connect returns another connection: each program has its own.
func (b *testbed) connect(ctx context.Context) (*stream.Conn, error) {
	url := b.nats.URL()
	if b.proxy != nil {
		url = "nats://" + b.proxy.Addr()
	}
	conn, err := stream.Connect(ctx, stream.Config{URL: url, Name: "bench", Lease: b.cfg.lease})
	if err == nil {
		b.conns = append(b.conns, conn)
	}
	return conn, err
}

func (b *testbed) close() {
	for _, conn := range b.conns {
		conn.Close()
	}
	if b.proxy != nil {
		b.proxy.Close()
	}
	if b.store != nil {
		_ = b.store.Close() // what was measured was committed
	}
	if b.nats != nil {
		b.nats.Shutdown()
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

// waiting is what stood in the queues on average: where it piles up, the readers of that queue are
// the slowest part.
type waiting struct {
	Batches  float64 `json:"waiting_batches"` // for a worker
	Held     float64 `json:"held_batches"`    // by workers
	Messages float64 `json:"waiting_results"` // for the sink, those that it holds included
}

// generate publishes a loaded run, answers it with consumers that have these GPUs and stores the
// results, until all are stored. All programs are engines in this process, each with a connection
// of its own.
func (b *testbed) generate(ctx context.Context, run pipeline.Run, consumers [][]consumer.LaneConfig) (outcome, error) {
	publisher, reconciler, writer, workers, err := b.engines(ctx, run, consumers)
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
		if _, err := publisher.FollowToEnd(running, run, reconciler, nil); err != nil && running.Err() == nil {
			return err
		}
		return nil
	})
	group.Go(func() error { o.waiting = b.sample(running, run.Name); return nil })
	if b.cfg.restartAfter > 0 {
		group.Go(func() error {
			if outage.Sleep(running, b.cfg.restartAfter) != nil {
				return nil
			}
			return b.restart()
		})
	}
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

// sample reads the depths of the queues until ctx ends and returns their averages.
func (b *testbed) sample(ctx context.Context, run string) waiting {
	const every = 250 * time.Millisecond // seldom enough to cost nothing
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var sum waiting
	n := 0.0
	for {
		select {
		case <-ticker.C:
			if depth, err := b.conns[0].Depth(ctx, run); err == nil {
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

// syncing names NATS' two ways to bring messages to the disk: within two minutes, or before they
// are confirmed.
func syncing(always bool) string {
	if always {
		return "always"
	}
	return "default"
}

// waitUntil checks every two milliseconds until the condition holds or ctx ends.
func waitUntil(ctx context.Context, condition func() bool) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !condition() && ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (b *testbed) engines(ctx context.Context, run pipeline.Run, consumers [][]consumer.LaneConfig) (*producer.Publisher, *reconcile.Engine, *sink.Sink, []*consumer.Consumer, error) {
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	publisher, err := producer.NewPublisher(producer.Config{}, b.store, conn)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	reconciler, err := reconcile.New(reconcile.Config{Lease: b.cfg.lease}, b.store, conn, producer.BuildFrom(b.store))
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if err := conn.EnsureRun(ctx, run); err != nil {
		return nil, nil, nil, nil, err
	}
	if conn, err = b.connect(ctx); err != nil {
		return nil, nil, nil, nil, err
	}
	writer, err := sink.New(sink.Config{ExtendEvery: b.cfg.lease / 3}, conn, b.store)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	var workers []*consumer.Consumer
	for _, gpus := range consumers {
		if conn, err = b.connect(ctx); err != nil {
			return nil, nil, nil, nil, err
		}
		w, err := consumer.New(consumer.Config{
			Identity: pipeline.Presence{ID: ulid.Make().String(), Run: run.Name, Model: run.Spec.Model}, Lease: b.cfg.lease,
		}, func() consumer.WorkQueue { return conn.Work(run.Name) }, conn, gpus)
		if err != nil {
			return nil, nil, nil, nil, err
		}
		workers = append(workers, w)
	}
	return publisher, reconciler, writer, workers, nil
}
