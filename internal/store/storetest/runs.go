package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

func createdOnce(t *testing.T, s *suite) {
	f := s.prepare(t, 3, 2, 4)
	for _, first := range []bool{true, false} {
		stored, created, err := f.store.CreateRun(f.ctx, f.run)
		f.ok(err)
		same(t, created, first)
		same(t, stored, f.run)
	}
	got, err := f.store.Run(f.ctx, f.run.Name)
	f.ok(err)
	same(t, got, f.run)
}

// What earlier versions loaded has no key, and the one that a load made first stays.
func keyOfARun(t *testing.T, s *suite) {
	f := s.prepare(t, 1, 1, 1)
	f.ok(f.create())
	again := f.run
	again.Key = pipeline.NewKey()
	stored, created, err := f.store.CreateRun(f.ctx, again)
	f.ok(err)
	same(t, []any{stored.Key, created}, []any{f.run.Key, false})
	none := s.prepare(t, 1, 1, 1)
	none.run.Key = nil
	f.ok(none.create())
	stored, err = f.store.Run(f.ctx, none.run.Name)
	f.ok(err)
	same(t, stored, none.run)
}

func unknownRun(t *testing.T, s *suite) {
	ctx, name := t.Context(), s.name()
	isNoRun := func(err error) {
		t.Helper()
		if !errors.Is(err, pipeline.ErrNoRun) || !strings.Contains(err.Error(), name) {
			t.Errorf("got error %v", err)
		}
	}
	_, err := s.store.Run(ctx, name)
	isNoRun(err)
	isNoRun(s.store.Seal(ctx, name, 1))
	isNoRun(s.store.Cancel(ctx, name))
	isNoRun(s.store.DeleteRun(ctx, name, nil))
	isNoRun(s.store.PutItems(ctx, []pipeline.Item{{Run: name, Input: []byte("{}")}}))
	isNoRun(s.store.PutBatches(ctx, []pipeline.Batch{{Run: name, Count: 1, State: pipeline.Planned, Round: 1}}))
	_, err = s.store.SampleAnswers(ctx, name, 1, false)
	isNoRun(err)
	for _, err := range s.store.Answers(ctx, name) {
		isNoRun(err)
	}

	items, batches, err := s.store.Loaded(ctx, name)
	same(t, []any{items, batches, err}, []any{0, 0, nil})
	none, err := s.store.Batches(ctx, name, pipeline.Planned, 0, 10)
	same(t, []any{len(none), err}, []any{0, nil})
	none, err = s.store.BatchesAt(ctx, name, []int{0, 1})
	same(t, []any{len(none), err}, []any{0, nil})
	nothing, err := s.store.Items(ctx, name, 0, 10)
	same(t, []any{len(nothing), err}, []any{0, nil})
	did, err := s.store.Requeue(ctx, pipeline.Batch{Run: name, Index: 0, State: pipeline.Queued, Round: 1}, 0, start())
	same(t, []any{did, err}, []any{false, nil})
	did, err = s.store.Fail(ctx, name, 0, 1, []int{0}, "boom")
	same(t, []any{did, err}, []any{false, nil})
	did, err = s.store.Drop(ctx, pipeline.Batch{Run: name, Index: 0, State: pipeline.Dead, Round: 1})
	same(t, []any{did, err}, []any{false, nil})
	same(t, s.store.MarkQueued(ctx, name, []int{0}, start()), error(nil))
}

func pin(t *testing.T, s *suite) {
	f := s.load(t, 1, 1, 1)
	try := func(from, to string) string {
		pinned, err := f.store.Pin(f.ctx, f.run.Name, pipeline.Ollama, from, to)
		f.ok(err)
		run, err := f.store.Run(f.ctx, f.run.Name)
		f.ok(err)
		same(t, run.Pins[pipeline.Ollama], pinned)
		return pinned
	}
	same(t, try("x", "y"), "")
	same(t, try("", "x"), "x")
	same(t, try("", "y"), "x")
	same(t, try("x", "x"), "x")
	same(t, try("y", "z"), "x")
	same(t, try("x", pipeline.PinAny), pipeline.PinAny)
	other, err := f.store.Pin(f.ctx, f.run.Name, "other", "", "z")
	same(t, []any{other, err}, []any{"z", nil})
	run, err := f.store.Run(f.ctx, f.run.Name)
	f.ok(err)
	same(t, run.Pins, map[pipeline.EngineName]string{pipeline.Ollama: pipeline.PinAny, "other": "z"})
	_, err = f.store.Pin(f.ctx, s.name(), pipeline.Ollama, "", "x")
	same(t, errors.Is(err, pipeline.ErrNoRun), true)
}

func createdAtOnce(t *testing.T, s *suite) {
	f := s.prepare(t, 3, 2, 4)
	var created atomic.Int32
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			stored, first, err := f.store.CreateRun(f.ctx, f.run)
			if first {
				created.Add(1)
			}
			if err == nil && stored.Name != f.run.Name {
				err = errors.New("got another run")
			}
			return err
		})
	}
	f.ok(group.Wait())
	same(t, created.Load(), int32(1))
}

func secondSpec(t *testing.T, s *suite) {
	f := s.load(t, 3, 1, 2)
	other := f.run
	other.UID, other.Spec.Model, other.Items = "01J0000000000000000000000Z", "another", 99
	stored, created, err := f.store.CreateRun(f.ctx, other)
	f.ok(err)
	want := f.run
	want.State, want.Batches = pipeline.RunOpen, 2
	same(t, stored, want)
	same(t, created, false)
	same(t, stored.Spec.Differences(other.Spec), []string{"model"})
}

func listed(t *testing.T, s *suite) {
	var want []string
	count := func(state pipeline.RunState) int {
		t.Helper()
		n, err := s.store.CountRuns(t.Context(), state)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	loading, open := count(pipeline.RunLoading), count(pipeline.RunOpen)
	for range 3 {
		f := s.prepare(t, 1, 1, 1)
		f.ok(f.create())
		want = append(want, f.run.Name)
	}
	same(t, count(pipeline.RunLoading), loading+3)
	if err := s.store.Seal(t.Context(), want[0], 1); err != nil {
		t.Fatal(err)
	}
	same(t, [2]int{count(pipeline.RunLoading), count(pipeline.RunOpen)}, [2]int{loading + 2, open + 1})
	runs, err := s.store.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, run := range runs {
		names = append(names, run.Name)
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %v", names)
	}
	for _, name := range want {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
}

func loadGoesOn(t *testing.T, s *suite) {
	f := s.prepare(t, 2*store.LoadChunk+500, 1, 1)
	f.ok(f.create())
	f.ok(f.store.PutItems(f.ctx, f.items[:store.LoadChunk]))
	f.ok(f.store.PutItems(f.ctx, f.items[store.LoadChunk:2*store.LoadChunk]))
	f.ok(f.store.PutBatches(f.ctx, f.cut[:store.LoadChunk]))

	items, batches, err := f.store.Loaded(f.ctx, f.run.Name)
	f.ok(err)
	if items < store.LoadChunk || items > 2*store.LoadChunk || batches > store.LoadChunk {
		t.Fatalf("loaded %d items and %d batches", items, batches)
	}
	for chunk := range slices.Chunk(f.items[items:], store.LoadChunk) {
		f.ok(f.store.PutItems(f.ctx, chunk))
	}
	for chunk := range slices.Chunk(f.cut[batches:], store.LoadChunk) {
		f.ok(f.store.PutBatches(f.ctx, chunk))
	}
	f.ok(f.store.Seal(f.ctx, f.run.Name, len(f.cut)))
	got, err := f.store.Items(f.ctx, f.run.Name, 0, len(f.items)+1)
	f.ok(err)
	same(t, got, f.items)
	cut, err := f.store.Batches(f.ctx, f.run.Name, pipeline.Planned, 0, len(f.cut)+1)
	f.ok(err)
	same(t, cut, f.cut)
}

func loadTwice(t *testing.T, s *suite) {
	f := s.prepare(t, 300, 2, 3)
	f.ok(f.create())
	var group errgroup.Group
	for range 3 {
		group.Go(func() error {
			for chunk := range slices.Chunk(f.items, 70) {
				if err := f.store.PutItems(f.ctx, chunk); err != nil {
					return err
				}
			}
			for chunk := range slices.Chunk(f.cut, 70) {
				if err := f.store.PutBatches(f.ctx, chunk); err != nil {
					return err
				}
			}
			return nil
		})
	}
	f.ok(group.Wait())
	f.queue(0)
	f.put() // does not change what is stored
	f.hasBatch(0, func(b *pipeline.Batch) { b.State, b.QueuedAt = pipeline.Queued, start() })
	same(t, f.progress().Generations, 600)
	got, err := f.store.Items(f.ctx, f.run.Name, 0, 1000)
	f.ok(err)
	same(t, got, f.items)
}

func sealing(t *testing.T, s *suite) {
	f := s.prepare(t, 3, 1, 2)
	f.ok(f.create())
	f.ok(f.store.Seal(f.ctx, f.run.Name, 2))
	f.ok(f.store.Seal(f.ctx, f.run.Name, 99)) // is open already
	got, err := f.store.Run(f.ctx, f.run.Name)
	f.ok(err)
	want := f.run
	want.State, want.Batches = pipeline.RunOpen, 2
	same(t, got, want)
}

func itemsComeBack(t *testing.T, s *suite) {
	f := s.prepare(t, 5, 1, 1)
	f.items[2].Input = []byte(`{"b": 1e400, "a": 0.10, "b": "twice", "u": "日本 \u0000", "s": "` + strings.Repeat("x", 1<<20) + `"}`)
	f.ok(f.create())
	f.put()
	for _, c := range []struct{ first, count, low, high int }{{0, 5, 0, 5}, {1, 2, 1, 3}, {4, 10, 4, 5}, {5, 1, 5, 5}, {0, 0, 0, 0}} {
		got, err := f.store.Items(f.ctx, f.run.Name, c.first, c.count)
		f.ok(err)
		same(t, append([]pipeline.Item{}, got...), append([]pipeline.Item{}, f.items[c.low:c.high]...))
	}
}

func consumers(t *testing.T, s *suite) {
	ctx, run := t.Context(), s.name()
	one := pipeline.Presence{
		Tokens: true,
		ID:     run + "-01", Run: run, Host: "kaggle", Version: "v1", ServerVersion: "0.17.4", Model: "m", Digest: "d",
		GPUs: []pipeline.GPUStatus{{Name: "T4", State: "serving", Slots: 8, Busy: 7, Generations: 6, OutputTokens: 5, TokensPerSecond: 4.5,
			Engine: pipeline.Ollama, Digest: "d", Context: 2048, Proven: 3, Resting: 2, RestSeconds: 1.5, RestingBecause: "500"}},
		Started: start(), Seen: start(), Deadline: start().Add(time.Hour),
	}
	two := pipeline.Presence{ID: run + "-02", Run: run, GPUs: []pipeline.GPUStatus{}, Started: start(), Seen: start().Add(time.Minute)}
	other := pipeline.Presence{ID: run + "-03", Run: s.name(), GPUs: []pipeline.GPUStatus{}, Started: start(), Seen: start()}
	for _, batch := range [][]pipeline.Presence{nil, {two, one}, {other}} {
		if err := s.store.PutConsumers(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	one.Seen = start().Add(2 * time.Minute)
	if err := s.store.PutConsumers(ctx, []pipeline.Presence{one}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		run   string
		since time.Time
		want  []pipeline.Presence
	}{
		{run, time.Time{}, []pipeline.Presence{one, two}},
		{run, start().Add(time.Minute), []pipeline.Presence{one, two}},
		{run, start().Add(time.Minute + time.Millisecond), []pipeline.Presence{one}},
		{"", start().Add(-time.Hour), []pipeline.Presence{one, two, other}},
	} {
		got, err := s.store.Consumers(ctx, c.run, c.since)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, c.want)
	}
}

func endedContext(t *testing.T, s *suite) {
	f := s.load(t, 3, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, writeErr := f.store.WriteResults(ctx, []pipeline.Results{f.results(0, "x", 0)}, start())
	_, readErr := f.store.Batches(ctx, f.run.Name, pipeline.Planned, 0, 1)
	_, runErr := f.store.Run(ctx, f.run.Name)
	for _, err := range []error{writeErr, readErr, runErr} {
		var failed *pipeline.Failure
		if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
			t.Errorf("got %v", err)
		}
	}
	f.write(f.results(0, "x", 0)) // the store is as usable as before
}

func cancelled(t *testing.T, s *suite) {
	f := s.prepare(t, 3, 2, 4)
	_, _, err := f.store.CreateRun(f.ctx, f.run)
	f.ok(err)
	for range 2 {
		f.ok(f.store.Cancel(f.ctx, f.run.Name))
	}
	f.ok(f.store.Seal(f.ctx, f.run.Name, 2)) // is not loading any more
	got, err := f.store.Run(f.ctx, f.run.Name)
	f.ok(err)
	same(t, got.State, pipeline.RunCancelled)
}
