package local_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
	"gleaner/internal/stream"
)

// parts are the engines on a real NATS server, with the users of deploy/nats/permissions.conf,
// and a real store.
type parts struct {
	t       *testing.T
	nats    *natsdtest.Server
	store   store.Store
	run     pipeline.Run // the one that was loaded last
	runs    int
	fails   atomic.Bool // generations of items with an odd number cannot be generated
	metrics *prometheus.Registry
	counts  *sink.Metrics // of all sinks together
}

// onEachStore calls a test with parts on SQLite, and with parts on MongoDB if there is one.
func onEachStore(t *testing.T, test func(p *parts)) {
	t.Run("sqlite", func(t *testing.T) { test(newParts(t, "sqlite:"+filepath.Join(t.TempDir(), "gleaner.db"))) })
	t.Run("mongodb", func(t *testing.T) { test(newParts(t, storetest.MongoURI(t))) })
}

func newParts(t *testing.T, uri string) *parts {
	t.Helper()
	p := &parts{t: t, metrics: prometheus.NewRegistry()}
	p.counts = sink.NewMetrics(p.metrics)
	permissions := permitted(t)
	p.nats = natsdtest.Start(t, natsd.Config{Adjust: func(o *server.Options) { o.Users, o.Accounts = permissions.Users, permissions.Accounts }})
	var err error
	p.store, err = store.Open(t.Context(), uri)
	p.must(err)
	t.Cleanup(func() { p.must(p.store.Close()) })
	p.must(p.as("producer").Ensure(t.Context()))
	return p
}

// permitted returns a server's configuration with a user for each role, whose password is secret.
func permitted(t *testing.T) *server.Options {
	t.Helper()
	for _, role := range []string{"PRODUCER", "CONSUMER", "SINK", "OPERATOR"} {
		t.Setenv("GLEANER_"+role+"_PASSWORD", "secret")
	}
	permissions, err := server.ProcessConfigFile("../../deploy/nats/permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	return permissions
}

// load loads another run with this number of items, in batches of this size. Nothing of it is
// published yet.
func (p *parts) load(items, batch int) {
	p.t.Helper()
	p.runs++
	name := fmt.Sprintf("parts-%d", p.runs)
	_, _, err := p.store.CreateRun(p.t.Context(), pipeline.Run{
		Name: name, UID: "01" + name, Key: pipeline.NewKey(), State: pipeline.RunLoading, Items: items, Generations: items, CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
		Spec: pipeline.Spec{Model: "simulated/sim", Simulated: true, Field: "q", Samples: 1, Batch: batch, Seed: 7, Options: pipeline.Options{NumPredict: 64}},
	})
	p.must(err)
	var rows []pipeline.Item
	var batches []pipeline.Batch
	for i := range items {
		rows = append(rows, pipeline.Item{Run: name, Seq: i, Input: fmt.Appendf(nil, `{"q": "question %d"}`, i)})
		if i%batch == 0 {
			batches = append(batches, pipeline.Batch{Run: name, Index: i / batch, First: i, Count: min(batch, items-i), State: pipeline.Planned, Round: 1})
		}
	}
	p.must(p.store.PutItems(p.t.Context(), rows))
	p.must(p.store.PutBatches(p.t.Context(), batches))
	p.must(p.store.Seal(p.t.Context(), name, len(batches)))
	p.run, err = p.store.Run(p.t.Context(), name)
	p.must(err)
}

func (p *parts) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// url returns the server's address with a role's credentials.
func (p *parts) url(role string) string {
	return strings.Replace(p.nats.URL(), "nats://", "nats://"+role+":secret@", 1)
}

// as returns a connection of a role.
func (p *parts) as(role string) *stream.Conn {
	p.t.Helper()
	conn, err := stream.Connect(p.t.Context(), stream.Config{URL: p.url(role), Name: role})
	p.must(err)
	p.t.Cleanup(conn.Close)
	return conn
}

// start runs something until the returned function is called, or the test ends.
func (p *parts) start(run func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := run(ctx); err != nil {
			p.t.Error(err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	p.t.Cleanup(stop)
	return stop
}

func (p *parts) startSink() {
	p.t.Helper()
	writer, err := sink.New(sink.Config{FlushEvery: 20 * time.Millisecond, Metrics: p.counts}, p.as("sink"), p.store)
	p.must(err)
	p.start(writer.Run)
}

// startConsumer runs a consumer for the run that was loaded last, which answers at once.
func (p *parts) startConsumer(conn *stream.Conn) (stop func()) {
	p.t.Helper()
	workers, err := consumer.New(consumer.Config{Identity: pipeline.Presence{ID: "01HONEST", Run: p.run.Name, Model: "simulated/sim", Simulated: true}}, func() consumer.WorkQueue { return conn.Work(p.run.Name) }, conn,
		[]consumer.LaneConfig{{Name: "honest", Backend: answerer{p}, Slots: 4}})
	p.must(err)
	return p.start(workers.Run)
}

// publish puts all batches on the queue.
func (p *parts) publish(conn *stream.Conn) {
	p.t.Helper()
	publisher, err := producer.NewPublisher(producer.Config{}, p.store, conn)
	p.must(err)
	p.must(publisher.Publish(p.t.Context(), p.run))
}

// engine returns the engine of reconcile over this store and these streams.
func (p *parts) engine(store store.Store, streams reconcile.Streams) *reconcile.Engine {
	p.t.Helper()
	engine, err := reconcile.New(reconcile.Config{Lease: 10 * time.Millisecond, Pause: 10 * time.Millisecond, SweepEvery: 10 * time.Millisecond, Log: zap.NewNop()},
		store, streams, producer.BuildFrom(p.store))
	p.must(err)
	return engine
}

// waitFor waits until the progress of the run meets a condition.
func (p *parts) waitFor(what string, met func(pipeline.Progress) bool) {
	p.t.Helper()
	var progress pipeline.Progress
	eventually(p.t, func() bool {
		var err error
		progress, err = p.store.Progress(p.t.Context(), p.run.Name, time.Now())
		p.must(err)
		return met(progress)
	}, func() string { return fmt.Sprintf("the run is not %s: %+v", what, progress) })
}

// answer is what every honest consumer answers to an item, with the run's seed.
func (p *parts) answer(item int) string {
	return says(fmt.Sprintf("question %d", item), pipeline.Seed(p.run.Spec.Seed, pipeline.GenerationID(p.run.Name, item, 0)))
}

func says(prompt string, seed int) string { return fmt.Sprintf("the answer to %s is %d", prompt, seed) }

// texts returns what is stored, by item.
func (p *parts) texts() map[int]string {
	p.t.Helper()
	texts := map[int]string{}
	for answer, err := range p.store.Answers(p.t.Context(), p.run.Name) {
		p.must(err)
		if answer.Result != nil {
			texts[answer.Item] = answer.Result.Text
		}
	}
	return texts
}

// checkTexts fails unless exactly the honest answers of the items are stored. Excepted items may
// have any answer.
func (p *parts) checkTexts(except map[int]bool) {
	p.t.Helper()
	got, want := p.texts(), map[int]string{}
	for item := range p.run.Items {
		want[item] = p.answer(item)
		if except[item] && got[item] != "" {
			want[item] = got[item]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("stored texts (-want +got):\n%s", diff)
	}
}

// checkStreams fails unless the streams become empty, once what was stored is acknowledged.
func (p *parts) checkStreams(conn *stream.Conn) {
	p.t.Helper()
	var depth pipeline.StreamDepth
	eventually(p.t, func() bool {
		var err error
		depth, err = conn.Depth(p.t.Context(), p.run.Name)
		p.must(err)
		return depth == pipeline.StreamDepth{}
	}, func() string { return fmt.Sprintf("the streams hold %+v", depth) })
	for letter, err := range conn.DeadLetters(p.t.Context(), "") {
		p.t.Errorf("there is still the dead letter %d on batch %s: %v", letter.Sequence, letter.ID(), err)
	}
}

// An answerer is a model that answers at once.
type answerer struct{ *parts }

func (a answerer) Generate(_ context.Context, r pipeline.Request) (pipeline.Completion, error) {
	if item := 0; a.fails.Load() {
		if _, err := fmt.Sscanf(r.Prompt(), "question %d", &item); err == nil && item%2 == 1 {
			return pipeline.Completion{}, pipeline.Fail(pipeline.BadItem, "the switch is not turned")
		}
	}
	return pipeline.Completion{Text: says(r.Prompt(), r.Seed), Finish: "stop", PromptTokens: 3, OutputTokens: 5, Duration: time.Millisecond}, nil
}

func eventually(t testing.TB, holds func() bool, otherwise func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal(otherwise())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// works makes the messages of batches.
func (p *parts) works(batches []pipeline.Batch) (all []pipeline.Work) {
	p.t.Helper()
	builder, err := producer.NewWorkBuilder(p.store, p.run)
	p.must(err)
	for len(batches) > 0 {
		works, err := builder.Build(p.t.Context(), batches)
		p.must(err)
		all = append(all, works...)
		batches = batches[len(works):]
	}
	return all
}
