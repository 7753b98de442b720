package local_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/consumer"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/stream"
)

// A full model lets answers go only when each of its slots has a request, in waves: so a run ends
// only if all slots are busy at once, again and again.
type fullModel struct {
	slots, waves int

	mu      sync.Mutex
	started int
	full    []chan struct{} // closed when that many waves have had each slot busy
}

func newFullModel(slots, waves int) *fullModel {
	m := &fullModel{slots: slots, waves: waves}
	for range waves {
		m.full = append(m.full, make(chan struct{}))
	}
	return m
}

func (m *fullModel) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	m.mu.Lock()
	wave := m.started / m.slots
	m.started++
	if m.started%m.slots == 0 && wave < m.waves {
		close(m.full[wave])
	}
	m.mu.Unlock()
	if wave < m.waves {
		select {
		case <-m.full[wave]:
		case <-ctx.Done():
			return pipeline.Completion{}, ctx.Err()
		}
	}
	r.CountTokens(1)
	return pipeline.Completion{Text: "42", Finish: pipeline.FinishStop, PromptTokens: 1, OutputTokens: 1, Duration: time.Millisecond}, nil
}

// await waits until all slots were busy in this many waves.
func (m *fullModel) await(t *testing.T, waves int) {
	t.Helper()
	select {
	case <-m.full[waves-1]:
	case <-time.After(2 * time.Minute):
		m.mu.Lock()
		defer m.mu.Unlock()
		t.Fatalf("%d requests came of %d that make all %d slots busy for the %d. time", m.started, waves*m.slots, m.slots, waves)
	}
}

// A crowd is consumers that share a queue and a model.
type crowd struct {
	t        *testing.T
	lease    time.Duration
	nats     *natsdtest.Server
	operator *stream.Conn
	run      pipeline.Run
}

// newCrowd starts consumers with this many GPUs each.
func newCrowd(t *testing.T, lease time.Duration, model consumer.Generator, consumers, gpus, slots int) *crowd {
	t.Helper()
	f := &crowd{t: t, lease: lease, nats: natsdtest.Start(t, natsd.Config{}), run: pipeline.Run{Name: "many", UID: "01J0000000000000000000MANY", State: pipeline.RunOpen, Spec: pipeline.Spec{Model: "m"}}}
	f.operator = f.connect()
	must(t, f.operator.EnsureRun(t.Context(), f.run))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range consumers {
		conn := f.connect()
		var lanes []consumer.LaneConfig
		for g := range gpus {
			lanes = append(lanes, consumer.LaneConfig{Name: fmt.Sprintf("GPU %d", g), Slots: slots, Backend: model})
		}
		engine, err := consumer.New(consumer.Config{
			Identity: pipeline.Presence{ID: fmt.Sprintf("01CONSUMER%d", i), Run: f.run.Name, Model: "m"}, Lease: lease, Grace: time.Millisecond,
		}, func() consumer.WorkQueue { return conn.Work(f.run.Name) }, conn, lanes)
		must(t, err)
		running.Go(func() { _ = engine.Run(ctx) })
	}
	t.Cleanup(func() { stop(); running.Wait() })
	return f
}

func (f *crowd) connect() *stream.Conn {
	f.t.Helper()
	conn, err := stream.Connect(f.t.Context(), stream.Config{URL: f.nats.URL(), Lease: f.lease})
	must(f.t, err)
	f.t.Cleanup(conn.Close)
	return conn
}

// publish puts batches of one generation on the queue.
func (f *crowd) publish(batches int) {
	f.t.Helper()
	var group errgroup.Group
	group.SetLimit(64)
	for i := range batches {
		group.Go(func() error {
			return f.operator.Publish(f.t.Context(), pipeline.Work{
				Run: f.run.Name, UID: f.run.UID, Batch: i, Round: 1, Model: "m", Options: pipeline.Options{NumPredict: 10},
				Generations: []pipeline.Generation{{Item: i, Seed: i, Messages: pipeline.User("What?")}},
			})
		})
	}
	must(f.t, group.Wait())
}

// until waits until the queue says so of the run.
func (f *crowd) until(what string, says func(info pipeline.RunInfo) bool) {
	f.t.Helper()
	var info pipeline.RunInfo
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var err error
		if info, err = f.operator.RunInfo(f.t.Context(), f.run.Name); err == nil && says(info) {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s did not come: %+v, %v", what, info, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// pulls returns how many pulls wait on the run's queue.
func (f *crowd) pulls() (int, error) {
	nc, err := nats.Connect(f.nats.URL())
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	durable, err := js.Consumer(f.t.Context(), stream.WorkStream, f.run.Name)
	if err != nil {
		return 0, err
	}
	return durable.CachedInfo().NumWaiting, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A server's default let a run have 1,000 batches in flight. NATS restarts in the middle.
func TestFifteenHundredSlotsOfOneConsumerAreAllBusy(t *testing.T) {
	const slots, batches = 1500, 6000
	model := newFullModel(slots, 3)                      // the fourth needs every batch, of which a restart may let one rest
	f := newCrowd(t, 10*time.Second, model, 1, 1, slots) // one lease, if the restart loses a batch on its way
	f.publish(batches)
	model.await(t, 1)
	f.nats.Restart()
	model.await(t, 3)
	f.until("the end of the run", func(info pipeline.RunInfo) bool { return info.Waiting == 0 && info.Held == 0 })
}

// Workers without work have one pull for each GPU: work finds all of them, also after a restart.
func TestFiveThousandIdleWorkersAreAllBusyWhenWorkComes(t *testing.T) {
	const consumers, gpus, slots = 14, 20, 16
	const workers = consumers * gpus * (slots + pipeline.SpareWorkers)
	f := newCrowd(t, pipeline.DefaultLease, newFullModel(consumers*gpus*slots+1, 1), consumers, gpus, slots)
	waiting := func(restarts int) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; {
			n, err := f.pulls()
			switch {
			case err == nil && n >= consumers*gpus:
				t.Logf("%d pulls wait for %d workers after %d restarts", n, workers, restarts)
				return
			case time.Now().After(deadline):
				t.Fatalf("%d pulls wait, %v", n, err)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	waiting(0)
	f.nats.Restart()
	waiting(1)
	began := time.Now()
	f.publish(workers)
	published := time.Since(began)
	f.until("work for all workers", func(info pipeline.RunInfo) bool { return info.Held == workers })
	t.Logf("%d workers have work %s after the first batch was published; publishing took %s", workers, time.Since(began), published)
}

// At the window nothing more is published until a part of it is free.
func TestAtTheWindowThePublisherWaitsForTheConsumer(t *testing.T) {
	const window, batches = 20, 120
	p := newParts(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))
	p.load(batches, 1)
	conn := p.as("producer")
	publisher, err := producer.NewPublisher(producer.Config{Window: window, Poll: 20 * time.Millisecond}, p.store, conn)
	must(t, err)
	published := make(chan error, 1)
	p.start(func(ctx context.Context) error { published <- publisher.Publish(ctx, p.run); return nil })
	depth := func(want func(n int) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			d, err := conn.Depth(t.Context(), p.run.Name)
			if n := d.Waiting + d.Held; err == nil && n > window {
				t.Fatalf("%d batches are outstanding", n)
			} else if err == nil && want(n) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("depth %+v, %v", d, err)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	depth(func(n int) bool { return n == window })
	select {
	case err := <-published:
		t.Fatalf("it published %d batches and ended with %v", publisher.Published(), err)
	case <-time.After(200 * time.Millisecond):
	}
	p.startSink()
	p.startConsumer(p.as("consumer"))
	must(t, <-published)
	depth(func(n int) bool { return n == 0 })
}
