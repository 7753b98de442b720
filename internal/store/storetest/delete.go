package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

// loadNamed loads a small run under a name, with a result and a consumer.
func (s *suite) loadNamed(t *testing.T, name string) *fixture {
	t.Helper()
	f := s.prepare(t, 6, 2, 4)
	f.run.Name = name
	for i := range f.items {
		f.items[i].Run = name
	}
	for i := range f.cut {
		f.cut[i].Run = name
	}
	f.ok(f.create())
	f.put()
	f.ok(f.store.Seal(f.ctx, name, len(f.cut)))
	f.write(f.results(0, "x", f.all(0)...))
	f.ok(f.store.PutConsumers(f.ctx, []pipeline.Presence{{ID: "c-" + name, Run: name, GPUs: []pipeline.GPUStatus{}, Started: start(), Seen: start()}}))
	return f
}

func deleteOne(t *testing.T, s *suite) {
	base := s.name()
	f := s.loadNamed(t, base+"a")
	var others []*fixture
	var before [][]pipeline.Answer
	for _, name := range []string{base, base + "a-1", base + "a0", base + "aa", base + "b"} {
		other := s.loadNamed(t, name)
		others, before = append(others, other), append(before, other.answers())
	}
	removed := 0
	f.ok(f.store.DeleteRun(f.ctx, f.run.Name, func(n int) {
		if n < removed {
			t.Errorf("removed %d after %d", n, removed)
		}
		removed = n
	}))
	same(t, removed, 6+3+4+1+1) // items, batches, results, consumer, run
	_, err := f.store.Run(f.ctx, f.run.Name)
	same(t, errors.Is(err, pipeline.ErrNoRun), true)
	items, err := f.store.Items(f.ctx, f.run.Name, 0, 10)
	same(t, []any{len(items), err}, []any{0, nil})
	same(t, f.progress().Generations, 0)
	gone, err := f.store.Consumers(f.ctx, f.run.Name, time.Time{})
	same(t, []any{len(gone), err}, []any{0, nil})
	for i, other := range others {
		same(t, other.answers(), before[i])
		same(t, other.progress().Stored, 4)
		seen, err := f.store.Consumers(f.ctx, other.run.Name, time.Time{})
		same(t, []any{len(seen), err}, []any{1, nil})
	}
	f.ok(f.create()) // the name is free again
	same(t, len(f.answers()), 0)
}

func deleteInterrupted(t *testing.T, s *suite) {
	f := s.loadNamed(t, s.name())
	ctx, cancel := context.WithCancel(f.ctx)
	err := f.store.DeleteRun(ctx, f.run.Name, func(int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	run, err := f.store.Run(f.ctx, f.run.Name)
	f.ok(err)
	same(t, run.State, pipeline.RunDeleting)
	f.ok(f.store.DeleteRun(f.ctx, f.run.Name, nil))
	_, err = f.store.Run(f.ctx, f.run.Name)
	same(t, errors.Is(err, pipeline.ErrNoRun), true)
}

func deletingTakesNothing(t *testing.T, s *suite) {
	f := s.loadNamed(t, s.name())
	ctx, cancel := context.WithCancel(f.ctx)
	if err := f.store.DeleteRun(ctx, f.run.Name, func(int) { cancel() }); err == nil {
		t.Fatal("it was not interrupted")
	}
	stored, created, err := f.store.CreateRun(f.ctx, f.run)
	f.ok(err)
	same(t, []any{stored.State, created}, []any{pipeline.RunDeleting, false})
	f.ok(f.store.Seal(f.ctx, f.run.Name, 1))
	itemErr, batchErr := f.store.PutItems(f.ctx, f.items), f.store.PutBatches(f.ctx, f.cut)
	for _, err := range []error{itemErr, batchErr} {
		if !errors.Is(err, pipeline.ErrNoRun) || pipeline.ClassOf(err) != pipeline.Fatal {
			t.Errorf("got %v", err)
		}
	}
	run, err := f.store.Run(f.ctx, f.run.Name)
	f.ok(err)
	same(t, run.State, pipeline.RunDeleting)
}
