package stream

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

var anna, ben = pipeline.StoreIdentity{ID: "01ANNA", Name: "mongodb://a/gleaner"}, pipeline.StoreIdentity{ID: "01BEN", Name: "mongodb://b/gleaner"}

// owners returns the ids that the streams bear.
func owners(t *testing.T, c *Conn) string {
	t.Helper()
	all, err := c.Owners(t.Context(), false)
	must(t, err)
	var ids []string
	for _, o := range all {
		ids = append(ids, o.ID)
	}
	return strings.Join(ids, " ")
}

func TestNewStreamsSayWhoseTheyAreAndAnotherStoreIsRefused(t *testing.T) {
	server := serve(t)
	a, b := connect(t, Config{URL: server.URL()}), connect(t, Config{URL: server.URL()})
	a.Own(anna)
	b.Own(ben)
	must(t, a.Ensure(t.Context()))
	if got := owners(t, b); got != "01ANNA 01ANNA 01ANNA" {
		t.Errorf("the owners are %q", got)
	}
	for _, err := range []error{b.Ensure(t.Context()), b.EnsureRun(t.Context(), testRun("r"))} {
		if wantError(t, err, pipeline.Fatal, anna.Name, ben.Name); !errors.Is(err, pipeline.ErrOtherStore) {
			t.Errorf("got %v", err)
		}
	}
	must(t, admin(t, server.URL()).DeleteStream(t.Context(), DeadStream))
	must(t, a.EnsureRun(t.Context(), testRun("r"))) // one that is made again says it, too
	if got := owners(t, b); got != "01ANNA 01ANNA 01ANNA" {
		t.Errorf("the owners are %q", got)
	}
}

func TestStreamsOfAnEarlierVersionGetAnOwnerAndKeepTheRest(t *testing.T) {
	server := serve(t)
	old := ready(t, Config{URL: server.URL()})
	must(t, old.Publish(t.Context(), testWork("r", 0)))
	if got := owners(t, old); got != "  " {
		t.Errorf("the owners are %q", got)
	}
	js := admin(t, server.URL())
	before := streamConfigOf(t, js, WorkStream)

	a := connect(t, Config{URL: server.URL()})
	a.Own(anna)
	must(t, a.WriteOwner(t.Context(), false))
	after := streamConfigOf(t, js, WorkStream)
	if after.Metadata[metaStore] != anna.ID || after.Metadata[metaStoreName] != anna.Name {
		t.Errorf("metadata %v", after.Metadata)
	}
	before.Metadata, after.Metadata = nil, nil
	if err := compatible(after, before); err != nil || after.MaxBytes != before.MaxBytes {
		t.Errorf("the stream changed: %v, %+v", err, after)
	}
	b := connect(t, Config{URL: server.URL()})
	b.Own(ben)
	must(t, b.WriteOwner(t.Context(), false)) // it has an owner
	if got := owners(t, a); got != "01ANNA 01ANNA 01ANNA" {
		t.Errorf("the owners are %q", got)
	}
	must(t, b.WriteOwner(t.Context(), true))
	if got := owners(t, a); got != "01BEN 01BEN 01BEN" {
		t.Errorf("the owners are %q", got)
	}
	if in, err := a.InWork(t.Context(), "r", 0); !in || err != nil {
		t.Errorf("the work is gone: %v", err)
	}
}

func streamConfigOf(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	must(t, err)
	return s.CachedInfo().Config
}

// Each method of the store's side asks first, and changes nothing if the answer is no.
func TestNothingIsChangedOrTakenOnTheStreamsOfAnotherStore(t *testing.T) {
	server := serve(t)
	right := ready(t, Config{URL: server.URL()})
	must(t, right.Publish(t.Context(), testWork("r", 0)))
	must(t, right.PublishResults(t.Context(), testResults("r", 1, "x")))
	must(t, right.PublishDeadLetter(t.Context(), testDeadLetter("r", 2, "x")))

	stray := connect(t, Config{URL: server.URL()})
	stray.GuardWith(func(context.Context) error { return pipeline.Fail(pipeline.Fatal, "%w", pipeline.ErrOtherStore) })
	ctx, run := t.Context(), testRun("r")
	for name, do := range map[string]func() error{
		"Ensure":              func() error { return stray.Ensure(ctx) },
		"EnsureRun":           func() error { return stray.EnsureRun(ctx, run) },
		"CompleteRun":         func() error { return stray.CompleteRun(ctx, run) },
		"ReportRun":           func() error { return stray.ReportRun(ctx, run, 1, 1) },
		"Publish":             func() error { return stray.Publish(ctx, testWork("r", 5)) },
		"RemoveWork":          func() error { return stray.RemoveWork(ctx, "r", 0, 1) },
		"PauseRun":            func() error { return stray.PauseRun(ctx, testRun("r")) },
		"ResumeRun":           func() error { return stray.ResumeRun(ctx, "r") },
		"CancelRun":           func() error { _, err := stray.CancelRun(ctx, "r"); return err },
		"RemoveRun":           func() error { return stray.RemoveRun(ctx, "r") },
		"DeleteDeadLetter":    func() error { return stray.DeleteDeadLetter(ctx, 1) },
		"Results":             func() error { _, err := stray.Results(ctx, 1, time.Second); return err },
		"DeadLettersToMirror": func() error { _, err := stray.DeadLettersToMirror(ctx, 1, time.Second); return err },
	} {
		if err := do(); !errors.Is(err, pipeline.ErrOtherStore) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	info, err := right.RunInfo(ctx, "r")
	must(t, err)
	results, err := right.Results(ctx, 10, time.Second)
	must(t, err)
	if info.Waiting != 1 || info.Paused || len(results) != 1 || results[0].Deliveries != 1 || len(all(t, right, "r")) != 1 {
		t.Errorf("after that: %+v, %d results", info, len(results))
	}
}

func TestAReconnectCountsAsAnotherConnection(t *testing.T) {
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	before := c.Connections()
	var asked atomic.Int32
	c.GuardWith(func(context.Context) error { asked.Add(1); return nil })
	server.Restart()
	eventually(t, func() bool { return c.Connections() > before }, func() string { return "no reconnect is counted" })
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	if asked.Load() == 0 {
		t.Error("the guard was not asked")
	}
}
