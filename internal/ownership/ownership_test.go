package ownership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a store, and streams that may be another's.
type world struct {
	mu      sync.Mutex
	me      pipeline.StoreIdentity
	runs    map[string]string // of the store: name → uid
	owners  []pipeline.StreamOwner
	queue   []pipeline.RunInfo
	present []pipeline.Presence
	err     error // of each call to the streams

	made    pipeline.StoreIdentity // for which streams are made
	conns   uint64
	asked   []string // comparisons: all or brief
	removed []string
}

func newWorld(me, owner pipeline.StoreIdentity) *world {
	w := &world{me: me, runs: map[string]string{}}
	w.setOwner(owner)
	return w
}

func (w *world) setOwner(owner pipeline.StoreIdentity) {
	w.owners = nil
	for _, name := range []string{"WORK", "RESULTS", "DEAD"} {
		w.owners = append(w.owners, pipeline.StreamOwner{Stream: name, StoreIdentity: owner})
	}
}

func (w *world) Identity(context.Context) (pipeline.StoreIdentity, error) { return w.me, nil }
func (w *world) MakeIdentity(context.Context) (pipeline.StoreIdentity, error) {
	if w.me.ID == "" {
		w.me.ID = "made"
	}
	return w.me, nil
}
func (w *world) Run(_ context.Context, name string) (pipeline.Run, error) {
	if uid, ok := w.runs[name]; ok {
		return pipeline.Run{Name: name, UID: uid}, nil
	}
	return pipeline.Run{}, pipeline.ErrNoRun
}
func (w *world) Own(owner pipeline.StoreIdentity) { w.set(func() { w.made = owner }) }
func (w *world) Owners(_ context.Context, briefly bool) ([]pipeline.StreamOwner, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if briefly {
		w.asked = append(w.asked, "brief")
		return w.owners[:min(1, len(w.owners))], w.err
	}
	w.asked = append(w.asked, "all")
	return w.owners, w.err
}
func (w *world) WriteOwner(_ context.Context, replace bool) error {
	for i := range w.owners {
		if w.owners[i].ID == "" || replace {
			w.owners[i].StoreIdentity = w.made
		}
	}
	return nil
}
func (w *world) Connections() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns
}
func (w *world) Runs(context.Context) ([]pipeline.RunInfo, error)       { return w.queue, nil }
func (w *world) Consumers(context.Context) ([]pipeline.Presence, error) { return w.present, nil }
func (w *world) RemoveRun(_ context.Context, run string) error {
	w.removed = append(w.removed, run)
	return nil
}
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) guard(program Program) *Guard { return New(program, w, w, zap.NewNop()) }

var (
	unowned = pipeline.StoreIdentity{}
	mine    = pipeline.StoreIdentity{ID: "1", Name: "mongodb://a/gleaner"}
	others  = pipeline.StoreIdentity{ID: "2", Name: "mongodb://b/gleaner"}
	fresh0  = pipeline.StoreIdentity{Name: "mongodb://a/gleaner"} // nothing was written yet
)

func run(name, uid string) pipeline.RunInfo { return pipeline.RunInfo{Run: name, UID: uid} }

func TestAStoreMayUseItsOwnStreamsAndNoOthers(t *testing.T) {
	for name, c := range map[string]struct {
		me, owner pipeline.StoreIdentity
		queue     []pipeline.RunInfo
		want      [3]string // of an operator, a publisher and a sink: goes, writes, waits or refused
	}{
		"its own":                          {mine, mine, nil, [3]string{"goes", "goes", "goes"}},
		"another's":                        {mine, others, nil, [3]string{"refused", "refused", "refused"}},
		"another's, and a run of its own":  {mine, others, []pipeline.RunInfo{run("r", "u")}, [3]string{"refused", "refused", "refused"}},
		"another's, and nothing written":   {fresh0, others, nil, [3]string{"refused", "refused", "refused"}},
		"no one's, without runs":           {mine, unowned, nil, [3]string{"goes", "writes", "waits"}},
		"no one's, with its run":           {mine, unowned, []pipeline.RunInfo{run("x", "y"), run("r", "u")}, [3]string{"goes", "writes", "goes"}},
		"no one's, with its run, earlier":  {fresh0, unowned, []pipeline.RunInfo{run("r", "u")}, [3]string{"goes", "writes", "goes"}},
		"no one's, with another's run":     {mine, unowned, []pipeline.RunInfo{run("x", "y")}, [3]string{"refused", "refused", "refused"}},
		"no one's, another's run so named": {mine, unowned, []pipeline.RunInfo{run("r", "other")}, [3]string{"refused", "refused", "refused"}},
	} {
		for program, want := range c.want {
			t.Run(fmt.Sprint(name, program), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(c.me, c.owner)
					w.runs["r"], w.queue = "u", c.queue
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := w.guard(Program(program)).Confirm(ctx)
					got := "goes"
					switch {
					case errors.Is(err, pipeline.ErrOtherStore) && pipeline.ClassOf(err) == pipeline.Fatal:
						got = "refused"
						for _, word := range []string{c.me.Name, "--take-over", "another NATS account"} {
							if !strings.Contains(err.Error(), word) {
								t.Errorf("%q is missing in %q", word, err)
							}
						}
					case errors.Is(err, context.DeadlineExceeded):
						got = "waits"
					case err != nil:
						t.Error(err)
					case w.owners[2].ID != c.owner.ID:
						got = "writes"
					}
					if got != want {
						t.Errorf("it %s, want %s: %v", got, want, err)
					}
				})
			})
		}
	}
}

func TestAComparisonCountsForTwoMinutesAndOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mine, mine)
		g := w.guard(Sink)
		confirm := func() {
			if err := g.Confirm(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			confirm()
		}
		time.Sleep(CompareEvery)
		confirm()
		w.set(func() { w.conns++ })
		confirm()
		if err := g.Compare(t.Context()); err != nil {
			t.Error(err)
		}
		if want := []string{"all", "brief", "all", "all"}; !slices.Equal(w.asked, want) {
			t.Errorf("compared %v, want %v", w.asked, want)
		}
	})
}

func TestASinkWaitsForStreamsAndRefusesThoseOfAnotherWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mine, unowned)
		w.owners = nil // an empty disk
		g := w.guard(Sink)
		ctx, stop := g.Watch(t.Context())
		defer stop()
		time.Sleep(20 * time.Second)
		if ctx.Err() != nil {
			t.Fatal(context.Cause(ctx))
		}
		w.set(func() { w.setOwner(others) })
		began := time.Now()
		<-ctx.Done()
		if err := Refusal(ctx); err == nil || time.Since(began) > time.Second || !strings.Contains(err.Error(), others.Name) {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestAProgramThatRunsEndsWhenItsStreamsAreTaken(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*world)
		within  time.Duration
	}{
		"a reconnect": {func(w *world) { w.conns++ }, time.Second},
		"nothing":     {func(*world) {}, CompareEvery + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(mine, mine)
				ctx, stop := w.guard(Publisher).Watch(t.Context())
				defer stop()
				time.Sleep(time.Second)
				began := time.Now()
				w.set(func() { w.setOwner(others); c.happens(w) })
				<-ctx.Done()
				if took := time.Since(began); took > c.within || Refusal(ctx) == nil {
					t.Errorf("after %s: %v", took, context.Cause(ctx))
				}
			})
		})
	}
}

// An outage is not a refusal, and nothing may be removed while it lasts.
func TestAnOutageRefusesNothingForGood(t *testing.T) {
	away := pipeline.Fail(pipeline.Retryable, "away")
	w := newWorld(mine, mine)
	w.err = away
	g := w.guard(Sink)
	if err := errors.Join(g.Confirm(t.Context()), g.Compare(t.Context())); !errors.Is(err, away) || errors.Is(err, pipeline.ErrOtherStore) {
		t.Errorf("got %v", err)
	}
	if err := g.Begin(t.Context()); err != nil {
		t.Errorf("the beginning in an outage: %v", err)
	}
	w.err = pipeline.Fail(pipeline.Fatal, "no permission")
	if err := g.Begin(t.Context()); err == nil {
		t.Error("a program without permission goes on")
	}
	w.err = nil
	if err := g.Confirm(t.Context()); err != nil {
		t.Error(err)
	}
	w.owners = nil
	if err := g.Compare(t.Context()); pipeline.ClassOf(err) != pipeline.Retryable {
		t.Errorf("without streams: %v", err)
	}
}

func TestStreamsAreTakenOverOnlyWhileNobodyUsesThem(t *testing.T) {
	idle := pipeline.RunInfo{Run: "x", UID: "y", Waiting: 3, Held: 1, Lease: time.Second, Quiet: time.Hour} // its holder is gone
	held := idle
	held.Quiet = 2 * time.Second
	own := pipeline.RunInfo{Run: "r", UID: "u", Lease: time.Second}
	for name, c := range map[string]struct {
		queue   []pipeline.RunInfo
		present []pipeline.Presence
		do      bool
		want    string // an error's words, or what happened
	}{
		"looked at":          {[]pipeline.RunInfo{idle, own}, nil, false, "nothing"},
		"taken":              {[]pipeline.RunInfo{idle, own}, nil, true, "taken"},
		"a batch is held":    {[]pipeline.RunInfo{held, own}, nil, true, "run x has 1 held"},
		"a consumer":         {[]pipeline.RunInfo{idle, own}, []pipeline.Presence{{Run: "x"}}, true, "1 consumers"},
		"a consumer, looked": {[]pipeline.RunInfo{idle, own}, []pipeline.Presence{{Run: "x"}}, false, "1 consumers"},
		"another's consumer": {[]pipeline.RunInfo{idle, own}, []pipeline.Presence{{Run: "elsewhere"}}, true, "taken"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(mine, others)
			w.runs["r"], w.queue, w.present = "u", c.queue, c.present
			g := w.guard(Publisher)
			if err := g.Confirm(t.Context()); !errors.Is(err, pipeline.ErrOtherStore) {
				t.Fatal(err)
			}
			report, err := g.TakeOver(t.Context(), c.do)
			taken := c.want == "taken"
			if taken != (w.owners[2].ID == mine.ID) || taken != report.Done || taken != slices.Equal(w.removed, []string{"x"}) {
				t.Errorf("owner %+v, removed %v, report %+v", w.owners[2], w.removed, report)
			}
			if len(report.Runs) != 2 || report.From != others.Name || report.Runs[0].Mine || !report.Runs[1].Mine {
				t.Errorf("report %+v", report)
			}
			switch {
			case taken || c.want == "nothing":
				if err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if err := g.Confirm(t.Context()); taken != (err == nil) {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

func TestTheOnlyProgramOfAServerSeizesTheStreams(t *testing.T) {
	w := newWorld(fresh0, others)
	w.queue = []pipeline.RunInfo{{Run: "x", Held: 1, Lease: time.Second, Quiet: time.Millisecond}}
	if err := w.guard(Publisher).Seize(t.Context()); err != nil || w.owners[0].ID != "made" || !slices.Equal(w.removed, []string{"x"}) {
		t.Errorf("%v, %+v, removed %v", err, w.owners[0], w.removed)
	}
}
