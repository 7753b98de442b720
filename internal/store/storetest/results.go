package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

func firstAnswerStays(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 4).queue(0)
	same(t, f.write(f.results(0, "first", 0, 1)), pipeline.Written{New: 2})
	second := f.results(0, "the second", 0, 1, 2)
	second.Round, second.Consumer, second.GPU = 2, "another", "other"
	same(t, f.write(second), pipeline.Written{New: 1, Duplicate: 2})
	same(t, f.write(second), pipeline.Written{Duplicate: 3})
	same(t, f.write(), pipeline.Written{})

	first := f.results(0, "first", 0, 1)
	answers := f.answers()
	for i, r := range append(first.Results, second.Results[2]) {
		m := first
		if i == 2 {
			m = second
		}
		same(t, answers[i], pipeline.Answer{Item: i, Input: f.items[i].Input, Result: &pipeline.StoredResult{
			Result: r, Batch: 0, Round: m.Round, Consumer: m.Consumer, GPU: m.GPU, Engine: m.Engine, Digest: m.Digest,
		}})
	}
	same(t, answers[3], pipeline.Answer{Item: 3, Input: f.items[3].Input})
	p := f.progress()
	same(t, []int{p.Stored, p.PromptTokens, p.OutputTokens, p.ThinkingTokens}, []int{3, 30, 2*len("first") + len("the second"), len("first")/2 + len("the second")})
}

func twiceInOneCall(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 2).queue(0, 1)
	written := f.write(f.results(0, "one", 0), f.results(1, "x", 1), f.results(0, "three", 0, 1), f.results(0, "two", 1))
	same(t, written, pipeline.Written{New: 3, Duplicate: 2})
	answers := f.answers()
	same(t, []string{answers[0].Result.Text, answers[1].Result.Text}, []string{"one", "three"})
	same(t, f.batch(0).State, pipeline.Done)
	same(t, f.progress().OutputTokens, len("one")+len("three")+len("x"))
	same(t, f.progress().ThinkingTokens, len("three")/2)
}

func resultsSettle(t *testing.T, s *suite) {
	f := s.load(t, 12, 1, 4).queue(0, 1, 2)
	f.write(f.results(0, "x", 3, 1), f.results(1, "x", 0, 1, 2, 3))
	f.hasBatch(0, func(b *pipeline.Batch) { b.State, b.QueuedAt, b.Done = pipeline.Queued, start(), []int{1, 3} })
	f.hasBatch(1, func(b *pipeline.Batch) {
		b.State, b.QueuedAt, b.Done, b.DoneAt = pipeline.Done, start(), []int{0, 1, 2, 3}, start()
	})
	f.fail(0, 1, 0, 2, 3) // 3 is stored, which takes precedence
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.QueuedAt, b.Done, b.Failed, b.Error = pipeline.Dead, start(), []int{1, 3}, []int{0, 2, 3}, "$boom"
	})
	same(t, f.progress().Failed, 2)

	f.fail(2, 1, 0, 1)
	f.write(f.results(2, "x", 2, 3))
	same(t, f.batch(2).State, pipeline.Dead)
}

func lateResult(t *testing.T, s *suite) {
	f := s.load(t, 2, 1, 2).queue(0)
	same(t, f.fail(0, 1, 0, 1), true)
	f.write(f.results(0, "x", 0))
	same(t, f.batch(0).State, pipeline.Dead)
	_, err := f.store.WriteResults(f.ctx, []pipeline.Results{f.results(0, "x", 1)}, start().Add(time.Minute))
	f.ok(err)
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.QueuedAt, b.Done, b.Failed, b.Error = pipeline.Done, start(), []int{0, 1}, []int{0, 1}, "$boom"
		b.DoneAt = start().Add(time.Minute)
	})
	f.write(f.results(0, "x", 0, 1)) // does not change when it was done
	same(t, f.batch(0).DoneAt, start().Add(time.Minute))
	p := f.progress()
	same(t, []int{p.Stored, p.Failed}, []int{2, 0})
}

func plannedBatch(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 2)
	f.write(f.results(0, "x", 0))
	same(t, f.fail(0, 1, 1), false)
	f.hasBatch(0, func(b *pipeline.Batch) { b.Done, b.Failed, b.Error = []int{0}, []int{1}, "$boom" })
	f.write(f.results(0, "x", 1))
	f.hasBatch(0, func(b *pipeline.Batch) {
		b.State, b.Done, b.Failed, b.DoneAt, b.Error = pipeline.Done, []int{0, 1}, []int{1}, start(), "$boom"
	})
	same(t, f.fail(1, 1, 0, 1), false)
	same(t, f.batch(1).State, pipeline.Planned)
	f.queue(0, 1)
	same(t, f.batch(0).State, pipeline.Done)
	same(t, f.batch(1).State, pipeline.Dead) // it failed before it was marked
}

func anyText(t *testing.T, s *suite) {
	texts := []string{"", "$x {$y: 1}", "a\x00b", "日本\U0001F600", "\u2028 ' \" \\", strings.Repeat("0123456789", 20000)}
	f := s.load(t, len(texts), 1, len(texts))
	for i, text := range texts {
		f.write(f.results(0, text, i))
	}
	for i, a := range f.answers() {
		same(t, a.Result.Text, texts[i])
	}
	message := "$set: a\x00b 日本"
	_, err := f.store.Fail(f.ctx, f.run.Name, 0, 1, []int{0}, message)
	f.ok(err)
	same(t, f.batch(0).Error, "") // done: nothing is recorded
	g := s.load(t, 1, 1, 1)
	_, err = g.store.Fail(g.ctx, g.run.Name, 0, 1, []int{0}, message)
	g.ok(err)
	same(t, g.batch(0).Error, message)
}

func strays(t *testing.T, s *suite) {
	f := s.load(t, 4, 1, 2)
	g := s.load(t, 2, 1, 2)
	late := f.results(0, "late", 0, 1)
	f.ok(f.store.DeleteRun(f.ctx, f.run.Name, nil))
	same(t, f.write(late, g.results(0, "x", 0, 1)), pipeline.Written{New: 2})
	same(t, g.batch(0).State, pipeline.Done)
	f.ok(f.create())
	f.put()
	for _, a := range f.answers() {
		if a.Result != nil {
			t.Errorf("item %d has the answer of a run that was deleted", a.Item)
		}
	}
}

func manySinks(t *testing.T, s *suite) {
	f := s.load(t, 60, 2, 8)
	var indexes []int
	for i := range f.cut {
		indexes = append(indexes, i)
	}
	f.queue(indexes...)
	var group errgroup.Group
	written := make([]pipeline.Written, 4)
	for sink := range written {
		group.Go(func() error {
			text := strings.Repeat("x", 10+sink)
			for n := range f.cut {
				batch := (n + sink) % len(f.cut)
				messages := []pipeline.Results{f.results(batch, text, f.all(batch)...)}
				next := (batch + 1) % len(f.cut)
				messages = append(messages, f.results(next, text, 0))
				w, err := f.store.WriteResults(f.ctx, messages, start())
				if err != nil {
					return fmt.Errorf("sink %d: %w", sink, err)
				}
				written[sink].New += w.New
				written[sink].Duplicate += w.Duplicate
			}
			return nil
		})
	}
	f.ok(group.Wait())
	var sum pipeline.Written
	for _, w := range written {
		sum.New += w.New
		sum.Duplicate += w.Duplicate
	}
	same(t, sum, pipeline.Written{New: 120, Duplicate: 4*(120+len(f.cut)) - 120})
	tokens, thought := 0, 0
	for _, a := range f.answers() {
		if a.Result == nil {
			t.Fatalf("item %d sample %d has no result", a.Item, a.Sample)
		}
		tokens += a.Result.OutputTokens
		thought += a.Result.ThinkingTokens
	}
	p := f.progress()
	same(t, []int{p.Batches[pipeline.Done], p.Stored, p.OutputTokens, p.ThinkingTokens, p.PromptTokens}, []int{len(f.cut), 120, tokens, thought, 1200})
}

func progress(t *testing.T, s *suite) {
	f := s.load(t, 20, 1, 4).queue(0, 1, 2, 3)
	at := func(minutes int, m pipeline.Results) {
		_, err := f.store.WriteResults(f.ctx, []pipeline.Results{m}, start().Add(time.Duration(minutes)*time.Minute))
		f.ok(err)
	}
	at(1, f.results(0, "abc", 0, 1, 2, 3))
	at(2, f.results(1, "abcd", 0, 1))
	at(3, f.results(1, "abcdefgh", 0, 1, 2, 3)) // 0 and 1 are stored already
	at(4, f.results(2, "ab", 0))
	f.fail(2, 1, 1, 2, 3)
	f.fail(3, 1, 0, 1, 2, 3)
	_, err := f.store.Drop(f.ctx, f.batch(3))
	f.ok(err)

	p, err := f.store.Progress(f.ctx, f.run.Name, start().Add(2*time.Minute))
	f.ok(err)
	for state, n := range p.Batches {
		if n == 0 {
			delete(p.Batches, state)
		}
	}
	same(t, p, pipeline.Progress{
		Batches:     map[pipeline.BatchState]int{pipeline.Planned: 1, pipeline.Done: 2, pipeline.Dead: 1, pipeline.Dropped: 1},
		Generations: 20, Stored: 9, Failed: 3, Dropped: 4, PromptTokens: 90, OutputTokens: 4*3 + 2*4 + 2*8 + 2,
		ThinkingTokens: (1 + 3) + 2 + 8,
		FirstDone:      start().Add(time.Minute), LastDone: start().Add(3 * time.Minute), RecentGenerations: 4, RecentTokens: 2*4 + 2*8,
	})
	p, err = f.store.Progress(f.ctx, f.run.Name, start().Add(3*time.Minute))
	f.ok(err)
	same(t, p.RecentGenerations, 4) // done_at >= since
	p, err = f.store.Progress(f.ctx, f.run.Name, time.Time{})
	f.ok(err)
	same(t, p.RecentGenerations, 8)
}

func noProgress(t *testing.T, s *suite) {
	p, err := s.store.Progress(t.Context(), s.name(), start())
	if err != nil {
		t.Fatal(err)
	}
	same(t, p, pipeline.Progress{Batches: map[pipeline.BatchState]int{}})
}
