package storetest

import (
	"cmp"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

func pagedBatches(t *testing.T, s *suite) {
	f := s.load(t, 25, 1, 1).queue(3, 4, 5, 20)
	var got []int
	for from := 0; ; {
		page, err := f.store.Batches(f.ctx, f.run.Name, pipeline.Planned, from, 4)
		f.ok(err)
		if len(page) == 0 {
			break
		}
		if len(page) > 4 {
			t.Fatalf("a page of 4 has %d", len(page))
		}
		for _, b := range page {
			got = append(got, b.Index)
		}
		from = page[len(page)-1].Index + 1
	}
	same(t, got, []int{0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24})
	queued, err := f.store.Batches(f.ctx, f.run.Name, pipeline.Queued, 4, 100)
	f.ok(err)
	want := []pipeline.Batch{f.cut[4], f.cut[5], f.cut[20]}
	for i := range want {
		want[i].State, want[i].QueuedAt = pipeline.Queued, start()
	}
	same(t, queued, want)
	none, err := f.store.Batches(f.ctx, f.run.Name, pipeline.Dead, 0, 100)
	f.ok(err)
	same(t, len(none), 0)
}

func batchesAt(t *testing.T, s *suite) {
	f := s.load(t, 10, 1, 1)
	got, err := f.store.BatchesAt(f.ctx, f.run.Name, []int{7, 2, 99, 5})
	f.ok(err)
	slices.SortFunc(got, func(a, b pipeline.Batch) int { return cmp.Compare(a.Index, b.Index) })
	same(t, got, []pipeline.Batch{f.cut[2], f.cut[5], f.cut[7]})
	got, err = f.store.BatchesAt(f.ctx, f.run.Name, nil)
	f.ok(err)
	same(t, len(got), 0)
}

func markQueued(t *testing.T, s *suite) {
	f := s.load(t, 6, 1, 1).queue(0, 1)
	f.write(f.results(1, "x", 0)) // done
	f.fail(0, 1, 0)               // dead
	f.ok(f.store.MarkQueued(f.ctx, f.run.Name, []int{0, 1, 2, 77}, start().AddDate(1, 0, 0)))
	same(t, f.batch(0).State, pipeline.Dead)
	same(t, f.batch(1).State, pipeline.Done)
	f.hasBatch(2, func(b *pipeline.Batch) { b.State, b.QueuedAt = pipeline.Queued, start().AddDate(1, 0, 0) })
	f.hasBatch(3, func(*pipeline.Batch) {})
	f.ok(f.store.MarkQueued(f.ctx, f.run.Name, nil, start()))
}

func requeue(t *testing.T, s *suite) {
	f := s.load(t, 8, 1, 4).queue(0)
	f.fail(0, 1, 1, 3)
	later := start().AddDate(0, 0, 1)
	try := func(state pipeline.BatchState, round int) bool {
		did, err := f.store.Requeue(f.ctx, pipeline.Batch{Run: f.run.Name, Index: 0, State: state, Round: round}, 1, later)
		f.ok(err)
		return did
	}
	same(t, try(pipeline.Dead, 1), false)
	same(t, try(pipeline.Queued, 2), false)
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.Failed, b.QueuedAt, b.Error = pipeline.Queued, []int{1, 3}, start(), "$boom"
	})
	same(t, try(pipeline.Queued, 1), true)
	same(t, try(pipeline.Queued, 1), false)
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.Round, b.Opinions, b.QueuedAt, b.Error = pipeline.Queued, 2, 1, later, "$boom"
	})
	same(t, f.fail(0, 2, 0, 1, 2, 3), true)
	same(t, try(pipeline.Dead, 2), true)
	same(t, f.batch(0).Round, 3)
	f.write(f.results(0, "x", 0, 1, 2, 3))
	same(t, try(pipeline.Queued, 3), false)
	same(t, try(pipeline.Done, 3), false) // a batch that is done stays done
	same(t, f.batch(0).State, pipeline.Done)
}

func refuse(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 2).queue(0)
	try := func(index, round int) bool {
		did, err := f.store.Refuse(f.ctx, f.run.Name, index, round)
		f.ok(err)
		return did
	}
	same(t, []bool{try(0, 2), try(1, 1), try(2, 1), try(0, 1), try(0, 1)}, []bool{false, true, false, true, true})
	f.hasBatch(0, func(b *pipeline.Batch) { b.State, b.QueuedAt, b.Refused = pipeline.Queued, start(), 1 })
	f.hasBatch(1, func(b *pipeline.Batch) { b.Refused = 1 })
	f.queue(1) // the mark of a batch that was published and not marked as queued yet stays
	f.hasBatch(1, func(b *pipeline.Batch) { b.State, b.QueuedAt, b.Refused = pipeline.Queued, start(), 1 })
	f.fail(0, 1, 0, 1)
	same(t, try(0, 1), false)
	same(t, f.progress().Refused, 2)
}

func drop(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 2).queue(0, 1)
	try := func(round int) bool {
		did, err := f.store.Drop(f.ctx, pipeline.Batch{Run: f.run.Name, Index: 0, State: pipeline.Dead, Round: round})
		f.ok(err)
		return did
	}
	same(t, try(1), false)
	f.fail(0, 1, 0, 1)
	same(t, try(2), false)
	same(t, try(1), true)
	same(t, try(1), false)
	same(t, f.batch(0).State, pipeline.Dropped)
	f.write(f.results(0, "x", 1))
	same(t, f.batch(0).State, pipeline.Dropped)
	same(t, f.progress().Dropped, 1)
	f.write(f.results(0, "x", 0)) // all is stored, whatever the operator thought
	same(t, f.batch(0).State, pipeline.Done)
	did, err := f.store.Drop(f.ctx, f.batch(1)) // while it is queued
	same(t, []any{did, err, f.batch(1).State}, []any{true, nil, pipeline.Dropped})
	did, err = f.store.Drop(f.ctx, f.batch(1))
	same(t, []any{did, err}, []any{false, nil})
}

func failures(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 4).queue(0)
	same(t, f.fail(0, 1, 2), false)
	same(t, f.fail(0, 1, 2), false)
	f.write(f.results(0, "x", 0))
	same(t, f.fail(0, 1, 1), false)
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.QueuedAt, b.Done, b.Failed, b.Error = pipeline.Queued, start(), []int{0}, []int{1, 2}, "$boom"
	})
	same(t, f.fail(0, 1, 3), true)
	same(t, f.fail(0, 1, 3), true)
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.QueuedAt, b.Done, b.Failed, b.Error = pipeline.Dead, start(), []int{0}, []int{1, 2, 3}, "$boom"
	})
	same(t, f.progress().Failed, 3)
}

func otherRound(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 2).queue(0, 1)
	same(t, f.fail(0, 2, 0, 1), false)
	f.hasBatch(0, func(b *pipeline.Batch) { b.State, b.QueuedAt = pipeline.Queued, start() })
	f.write(f.results(1, "x", 0, 1))
	same(t, f.fail(1, 1, 0, 1), false) // is done
	f.hasBatch(1, func(b *pipeline.Batch) {
		b.State, b.QueuedAt, b.Done, b.DoneAt = pipeline.Done, start(), []int{0, 1}, start()
	})
	same(t, f.fail(0, 1, 0, 1), true)
	same(t, f.fail(0, 2, 0, 1), false)
	same(t, f.batch(0).State, pipeline.Dead)
}

func manyChanges(t *testing.T, s *suite) {
	f := s.load(t, 32, 1, 32).queue(0)
	var group errgroup.Group
	for i := range 32 {
		group.Go(func() error {
			if i%2 == 0 {
				_, err := f.store.WriteResults(f.ctx, []pipeline.Results{f.results(0, "x", i)}, start())
				return err
			}
			_, err := f.store.Fail(f.ctx, f.run.Name, 0, 1, []int{i}, "boom")
			return err
		})
	}
	f.ok(group.Wait())
	b := f.batch(0)
	same(t, []any{b.State, len(b.Done), len(b.Failed)}, []any{pipeline.Dead, 16, 16})
	p := f.progress()
	same(t, []int{p.Stored, p.Failed, p.PromptTokens}, []int{16, 16, 160})
}

func oneTakes(t *testing.T, s *suite) {
	f := s.load(t, 1, 1, 1).queue(0)
	var took atomic.Int32
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			did, err := f.store.Requeue(f.ctx, pipeline.Batch{Run: f.run.Name, Index: 0, State: pipeline.Queued, Round: 1}, 0, start())
			if did {
				took.Add(1)
			}
			return err
		})
	}
	f.ok(group.Wait())
	same(t, took.Load(), int32(1))
	same(t, f.batch(0).Round, 2)
}
