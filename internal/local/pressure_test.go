package local_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/consumer"
	"gleaner/internal/dataset"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
	"gleaner/internal/stream"
)

const (
	pressureGood = 250 // rows
	pressureBad  = 150 // rows that cannot be generated until a switch is turned
)

// Everything that can be full is full in turn: the store over its quota, RESULTS, WORK, DEAD, and
// WORK and DEAD at the same time. Everything behind it waits, says why, loses nothing and goes on
// by itself.
func TestWhateverIsFullEverythingWaitsSaysWhyAndGoesOn(t *testing.T) {
	t.Parallel()
	p := newPressure(t)
	p.server.Resize(stream.WorkStream, 8<<10)
	p.server.Resize(stream.ResultsStream, 6<<10)
	p.server.Resize(stream.DeadStream, 4<<10)

	// There is no consumer yet, so WORK is full first. Then the store refuses what comes.
	p.start("publisher", p.publish)
	p.logged("the queue has no room", "GLEANER_WORK holds ", "of 8.0 KiB")
	p.front.SetFull(true)
	p.start("sink", p.sink)
	p.start("consumer", p.consumer)
	p.logged("writing results to the store fails; nothing is lost", "514 MB of 512 MB", "producer delete --run")
	p.logged("no room for results, waiting until there is; nothing is lost; a sink makes room", "maximum bytes")
	if stored := p.progress().Stored; stored != 0 {
		t.Errorf("%d are stored in a store that takes nothing", stored)
	}
	p.front.SetFull(false)
	p.logged("writing results to the store works again")
	p.logged("there is room for results again")

	// What fails for good fills DEAD, and then WORK, from which it cannot be taken any more.
	p.logged("no room for dead letters", "producer dead redrive --run r)", "producer dead drop --run r --yes", "producer publish --run r --max-bytes SIZE")
	p.logged("the queue has no room", "The dead letters are full, too (GLEANER_DEAD holds", "producer dead drop --run r --yes", "--max-bytes SIZE")
	const dropped = 3
	p.eventually("three batches are given up", func() bool {
		report, err := p.engine.Drop(p.ctx, reconcile.Filter{Run: "r"}, reconcile.DropOptions{Limit: dropped - p.dropped})
		p.check(err)
		p.dropped += report.Dropped
		return p.dropped == dropped
	})
	p.logged("there is room for dead letters again")
	bigger, err := stream.Connect(p.ctx, stream.Config{InProcess: p.server, User: "operator", MaxBytes: 16 << 20, Enlarge: true, Log: p.log})
	p.check(err)
	p.check(bigger.Ensure(p.ctx))
	bigger.Close()
	p.logged("enlarged a stream", stream.DeadStream)
	p.eventually("the run comes to its end", func() bool { return p.progress().Complete() })
	p.wait("publisher")
	p.balanced(reconcile.Account{Total: pressureGood + pressureBad, Stored: pressureGood, Dead: pressureBad - dropped, Dropped: dropped})

	// A redrive finds WORK full.
	p.stop("consumer")
	p.ollama.ClearFaults()
	p.server.Resize(stream.WorkStream, 4<<10)
	before := p.times("the queue has no room; the redrive waits")
	p.start("redrive", func(ctx context.Context) error {
		report, err := p.engine.Redrive(ctx, reconcile.Filter{Run: "r"}, reconcile.RedriveOptions{Again: true})
		if report.Redriven != pressureBad-dropped {
			t.Errorf("the redrive says %+v", report)
		}
		return err
	})
	p.eventually("the redrive waits", func() bool { return p.times("the queue has no room; the redrive waits") > before })
	p.front.SetAway(true) // and the store goes away in the meantime
	p.start("consumer", p.consumer)
	p.logged("the redrive waits; nothing is lost")
	p.front.SetAway(false)
	p.wait("redrive")
	p.logged("the redrive goes on")
	p.eventually("everything is stored", func() bool { return p.progress().Stored == pressureGood+pressureBad-dropped })
	p.eventually("the streams are empty", func() bool {
		depth, err := p.conn.Depth(p.ctx, "r")
		p.check(err)
		return depth == pipeline.StreamDepth{}
	})
	p.balanced(reconcile.Account{Total: pressureGood + pressureBad, Stored: pressureGood + pressureBad - dropped, Dropped: dropped})
	p.quiet()
}

// A pressure is all engines in this process, with a real NATS server and a real store behind a
// front.
type pressure struct {
	t      *testing.T
	ctx    context.Context
	server *natsdtest.Server
	front  *storetest.MongoProxy
	store  store.Store
	run    pipeline.Run
	conn   *stream.Conn
	ollama *ollamasim.Server
	gpu    consumer.LaneConfig
	engine *reconcile.Engine
	log    *zap.Logger
	logs   *observer.ObservedLogs

	dropped int

	mu      sync.Mutex
	running map[string]*running
}

type running struct {
	stop context.CancelFunc
	done chan error
}

const pressureLease = 3 * time.Second

func newPressure(t *testing.T) *pressure {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	p := &pressure{t: t, ctx: ctx, server: natsdtest.Start(t, natsd.Config{}), front: storetest.NewMongoProxy(t, storetest.MongoURI(t)),
		ollama: ollamasim.New(ollamasim.Config{Models: []string{"sim"}, Instant: true, Slots: 4}), log: zap.New(core), logs: logs, running: map[string]*running{}}
	t.Cleanup(p.ollama.Close)
	t.Cleanup(func() {
		if t.Failed() {
			for _, e := range logs.All() {
				t.Log(e.Level, e.Message, e.ContextMap())
			}
		}
	})
	url, err := p.ollama.Start("127.0.0.1:0")
	p.check(err)
	client, err := ollama.New(url, ollama.Config{Slots: 4})
	p.check(err)
	p.gpu = consumer.LaneConfig{Name: "sim", Backend: client, Slots: 4, Context: ollamasim.DefaultContext}
	p.ollama.Inject(badRows())
	p.store, err = store.Open(ctx, p.front.URI)
	p.check(err)
	t.Cleanup(func() { p.check(p.store.Close()) })
	p.conn, err = stream.Connect(ctx, stream.Config{InProcess: p.server, User: "all", Lease: pressureLease, SinkLease: pressureLease, MaxBytes: 16 << 20, Log: p.log})
	p.check(err)
	t.Cleanup(p.conn.Close)
	t.Cleanup(p.stopAll)
	p.check(p.conn.Ensure(ctx))
	p.engine, err = reconcile.New(reconcile.Config{Lease: pressureLease, Pause: 50 * time.Millisecond, Log: p.log}, p.store, p.conn,
		producer.BuildFrom(p.store))
	p.check(err)
	p.load()
	return p
}

func (p *pressure) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// load loads a run of batches of one generation, the good ones first.
func (p *pressure) load() {
	p.t.Helper()
	path := writeRows(p.t, pressureGood+pressureBad, func(i int) string { return goodOrBad(i, i >= pressureGood) })
	data := producer.Dataset{Name: "rows.jsonl", Open: func() (producer.Rows, error) { return dataset.Open(path) }}
	spec := pipeline.Spec{Model: "simulated/sim", Simulated: true, Field: "question", Samples: 1, Batch: 1, Options: pipeline.Options{NumPredict: 2048}}
	survey, err := producer.RunPreflight(p.ctx, "r", spec, data, nil)
	p.check(err)
	run, _, err := producer.Load(p.ctx, p.store, survey, "01JPRESSURE", nil)
	p.check(err)
	p.run = run
	p.check(p.conn.EnsureRun(p.ctx, run))
}

func (p *pressure) publish(ctx context.Context) error {
	publisher, err := producer.NewPublisher(producer.Config{Poll: 50 * time.Millisecond, Log: p.log}, p.store, p.conn)
	p.check(err)
	// With what repairs: a dead letter may reach the store before its batch is marked as queued, and
	// only reconcile finds that out.
	_, err = publisher.FollowToEnd(ctx, p.run, p.engine, nil)
	return err
}

// sink has a store of its own, as a program has: of several parts with one store only the first
// says that it is away.
func (p *pressure) sink(ctx context.Context) error {
	own, err := store.OpenExisting(ctx, p.front.URI)
	p.check(err)
	engine, err := sink.New(sink.Config{FlushEvery: 100 * time.Millisecond, ExtendEvery: time.Second, Log: p.log}, p.conn, own)
	p.check(err)
	return errors.Join(engine.Run(ctx), own.Close())
}

func (p *pressure) consumer(ctx context.Context) error {
	engine, err := consumer.New(consumer.Config{Identity: pipeline.Presence{ID: "c", Run: "r", Model: "simulated/sim", Simulated: true}, Lease: pressureLease, Grace: 5 * time.Second, Log: p.log},
		func() consumer.WorkQueue { return p.conn.Work("r") }, p.conn, []consumer.LaneConfig{p.gpu})
	p.check(err)
	return engine.Run(ctx)
}

func (p *pressure) start(name string, run func(context.Context) error) {
	ctx, stop := context.WithCancel(p.ctx)
	r := &running{stop, make(chan error, 1)}
	p.mu.Lock()
	p.running[name] = r
	p.mu.Unlock()
	go func() { r.done <- run(ctx) }()
}

// wait waits until a part has ended by itself.
func (p *pressure) wait(name string) {
	p.t.Helper()
	p.mu.Lock()
	r := p.running[name]
	delete(p.running, name)
	p.mu.Unlock()
	select {
	case err := <-r.done:
		if err != nil {
			p.t.Errorf("%s: %v", name, err)
		}
	case <-p.ctx.Done():
		p.t.Errorf("%s does not end", name)
	}
	r.stop()
}

func (p *pressure) stop(name string) {
	p.t.Helper()
	p.mu.Lock()
	r := p.running[name]
	p.mu.Unlock()
	r.stop()
	p.wait(name)
}

func (p *pressure) stopAll() {
	for _, r := range p.running {
		r.stop()
		<-r.done
	}
}

func (p *pressure) progress() pipeline.Progress {
	p.t.Helper()
	progress, err := p.store.Progress(p.ctx, "r", time.Now())
	p.check(err)
	return progress
}

// text is a line as a person sees it.
func text(e observer.LoggedEntry) string { return fmt.Sprint(e.Message, " ", e.ContextMap()) }

// logged waits until a line with all these parts was logged.
func (p *pressure) logged(parts ...string) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("it says %q", parts), func() bool {
		for _, e := range p.logs.All() {
			missing := 0
			for _, part := range parts {
				if !strings.Contains(text(e), part) {
					missing++
				}
			}
			if missing == 0 {
				return true
			}
		}
		return false
	})
}

func (p *pressure) times(part string) int { return p.logs.FilterMessageSnippet(part).Len() }

func (p *pressure) eventually(what string, holds func() bool) {
	p.t.Helper()
	for !holds() {
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("waited, and still not: %s; %s", what, p.situation())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// balanced waits until an audit says exactly this: the sink's acks may still be on their way.
func (p *pressure) balanced(want reconcile.Account) {
	p.t.Helper()
	var got reconcile.Account
	p.eventually(fmt.Sprintf("the audit finds %+v", want), func() bool {
		var err error
		got, err = p.engine.Audit(p.ctx, "r")
		p.check(err)
		return got.Outstanding == 0
	})
	if !got.Balanced() || got.Total != want.Total || got.Stored != want.Stored || got.Dead != want.Dead || got.Dropped != want.Dropped {
		p.t.Errorf("the audit finds %+v, want %+v", got, want)
	}
}

// quiet fails if the same line was logged again and again.
func (p *pressure) quiet() {
	p.t.Helper()
	lines := map[string]int{}
	for _, e := range p.logs.All() {
		if e.Level >= zap.WarnLevel {
			lines[e.Message]++
		}
	}
	for line, n := range lines {
		most := 3
		if strings.HasPrefix(line, "this GPU may be broken") { // one that answers nothing but bad rows is doubted again and again
			most = 5
		}
		if n > most {
			p.t.Errorf("%d times: %s", n, line)
		}
	}
}

// situation says where everything is.
func (p *pressure) situation() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	account, err := p.engine.Audit(ctx, "r")
	return fmt.Sprintf("the audit finds %+v, %v", account, err)
}
