package local_test

import (
	"context"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/consumer"
	"gleaner/internal/natsd"
	"gleaner/internal/ollama"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// How long it takes, with everything running and idle, from the publication of a batch to the
// moment when the model's server begins with it: over NATS, through the consumer, over HTTP.
func BenchmarkABatchBeginsToGenerate(b *testing.B) {
	began := make(chan time.Time, 1)
	_, url := simtest.Start(b, ollamasim.Config{Instant: true, Lengths: func(string, int) int {
		began <- time.Now()
		return 1
	}})
	nats, err := natsd.Start(natsd.Config{Dir: b.TempDir(), Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer nats.Shutdown()
	connect := func(name string) *stream.Conn {
		conn, err := stream.Connect(b.Context(), stream.Config{URL: nats.URL(), Name: name})
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	operator, worker := connect("producer"), connect("consumer")
	defer operator.Close()
	defer worker.Close()
	run := pipeline.Run{Name: "bench", UID: ulid.Make().String(), State: pipeline.RunOpen, Spec: pipeline.Spec{Model: ollamasim.DefaultModel, Simulated: true}}
	if err := operator.Ensure(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := operator.EnsureRun(b.Context(), run); err != nil {
		b.Fatal(err)
	}
	client, err := ollama.New(url, ollama.Config{Slots: 8})
	if err != nil {
		b.Fatal(err)
	}
	engine, err := consumer.New(consumer.Config{Identity: pipeline.Presence{ID: ulid.Make().String(), Run: run.Name}},
		func() consumer.WorkQueue { return worker.Work(run.Name) }, worker, []consumer.LaneConfig{{Name: "bench", Backend: client, Slots: 8, Context: 4096}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	defer func() { stop(); <-ended }()

	worst, batch := time.Duration(0), 0
	for b.Loop() {
		work := pipeline.Work{Run: run.Name, UID: run.UID, Batch: batch, Round: 1, Model: run.Spec.Model, Options: pipeline.Options{NumPredict: 64},
			Generations: []pipeline.Generation{{Item: batch, Messages: pipeline.User("What is the sum of 1 and 2?")}}}
		batch++
		published := time.Now()
		if err := operator.Publish(b.Context(), work); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, (<-began).Sub(published))
	}
	b.ReportMetric(float64(worst)/1e6, "worst-ms")
}
