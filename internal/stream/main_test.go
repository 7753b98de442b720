package stream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server of the test's own.
func serve(t testing.TB) *natsdtest.Server {
	t.Helper()
	return natsdtest.Start(t, natsd.Config{})
}

// connect returns a connection that the test closes.
func connect(t testing.TB, cfg Config) *Conn {
	t.Helper()
	c, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ready returns a connection to a server of its own on which everything is there, run "r" included.
func ready(t testing.TB, cfg Config) *Conn {
	t.Helper()
	if cfg.URL == "" {
		cfg.URL = serve(t).URL()
	}
	c := connect(t, cfg)
	must(t, c.Ensure(t.Context()))
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	return c
}

// admin returns a connection that may do everything, beside the one under test.
func admin(t testing.TB, url string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func testRun(name string) pipeline.Run {
	return pipeline.Run{Name: name, UID: "01J0000000000000000000" + name, Spec: pipeline.Spec{Model: "tiny"}}
}

func testWork(run string, batch int) pipeline.Work {
	return pipeline.Work{
		Run: run, UID: "01J", Batch: batch, Round: 1, Model: "tiny", Options: pipeline.Options{NumPredict: 16},
		Generations: []pipeline.Generation{{Index: 0, Item: batch, Seed: 1, Messages: pipeline.User("Why?")}},
	}
}

func testResults(run string, batch int, texts ...string) pipeline.Results {
	r := pipeline.Results{Run: run, UID: "01J", Batch: batch, Round: 1, Consumer: "c", GPU: "g"}
	for i, text := range texts {
		r.Results = append(r.Results, pipeline.Result{
			Index: i, Item: i, Text: text, Finish: "stop", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		})
	}
	return r
}

// next takes a batch, which must come.
func next(t testing.TB, s *Source) pipeline.Delivery[pipeline.Work] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// depthIs waits until the run has this depth.
func depthIs(t testing.TB, c *Conn, run string, want pipeline.StreamDepth) {
	t.Helper()
	var got pipeline.StreamDepth
	var err error
	eventually(t, func() bool {
		got, err = c.Depth(t.Context(), run)
		got.Untaken = 0 // for how long, which is some time
		return err == nil && got == want
	}, func() string { return fmt.Sprintf("depth %+v, %v; want %+v", got, err, want) })
}

// eventually waits for a condition.
func eventually(t testing.TB, holds func() bool, otherwise func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal(otherwise())
		}
		<-time.After(2 * time.Millisecond)
	}
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return zap.New(core), logs
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks an error's class and that its text holds all parts.
func wantError(t testing.TB, err error, class pipeline.Class, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", parts)
	}
	t.Log(err)
	if got := pipeline.ClassOf(err); got != class {
		t.Errorf("class %s, want %s", got, class)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not contain %q", err, part)
		}
	}
}
