package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// model changes a run at random, and expects the store to do the same as a simple model in memory.
func model(t *testing.T, s *suite) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 4).Draw(rt, "batch size")
		f := s.load(t, 6, 1, size)
		m := &machine{fixture: f, batches: slices.Clone(f.cut), stored: map[int]pipeline.StoredResult{}, now: start()}
		// The store is compared with the model once for each sequence, since a comparison takes
		// several commands to a server.
		steps := []func(*rapid.T){m.writeResults, m.writeResults, m.markQueued, m.failSome, m.failSome, m.requeueOne, m.dropOne}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			steps[rapid.IntRange(0, len(steps)-1).Draw(rt, "step")](rt)
		}
		m.check(rt)
	})
}

// A machine is the model of a run.
type machine struct {
	*fixture
	batches []pipeline.Batch
	stored  map[int]pipeline.StoredResult // by item; there is one sample
	tokens  int                           // output tokens of stored
	thought int                           // thinking tokens of stored
	now     time.Time
}

func (m *machine) tick() time.Time {
	m.now = m.now.Add(time.Second)
	return m.now
}

func (m *machine) drawBatch(t *rapid.T) *pipeline.Batch {
	return &m.batches[rapid.IntRange(0, len(m.batches)-1).Draw(t, "batch")]
}

func drawIndexes(t *rapid.T, b *pipeline.Batch) []int {
	return rapid.SliceOfNDistinct(rapid.IntRange(0, b.Count-1), 1, b.Count, rapid.ID[int]).Draw(t, "indexes")
}

func drawRound(t *rapid.T, b *pipeline.Batch) int {
	return max(1, b.Round+rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "round"))
}

func (m *machine) writeResults(t *rapid.T) {
	at := m.tick()
	var messages []pipeline.Results
	var want pipeline.Written
	for range rapid.IntRange(1, 3).Draw(t, "messages") {
		b := m.drawBatch(t)
		message := m.results(b.Index, rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "text"), drawIndexes(t, b)...)
		messages = append(messages, message)
		for _, r := range message.Results {
			if _, ok := m.stored[r.Item]; ok {
				want.Duplicate++
				continue
			}
			want.New++
			m.tokens += r.OutputTokens
			m.thought += r.ThinkingTokens
			m.stored[r.Item] = pipeline.StoredResult{Result: r, Batch: b.Index, Round: message.Round, Consumer: message.Consumer, GPU: message.GPU, Engine: message.Engine, Digest: message.Digest}
			b.Done = append(b.Done, r.Index)
			slices.Sort(b.Done)
		}
	}
	for _, message := range messages {
		b := &m.batches[message.Batch]
		if before := b.State; before != pipeline.Done {
			if b.State = b.Settle(); b.State == pipeline.Done {
				b.DoneAt = at
			}
		}
	}
	got, err := m.store.WriteResults(m.ctx, messages, at)
	equal(t, err, nil)
	equal(t, got, want)
}

func (m *machine) markQueued(t *rapid.T) {
	at := m.tick()
	var indexes []int
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		b := m.drawBatch(t)
		indexes = append(indexes, b.Index)
		if b.State == pipeline.Planned {
			b.State, b.QueuedAt = pipeline.Queued, at
			b.State = b.Settle()
		}
	}
	equal(t, m.store.MarkQueued(m.ctx, m.run.Name, indexes, at), nil)
}

func (m *machine) failSome(t *rapid.T) {
	b := m.drawBatch(t)
	round, failed := drawRound(t, b), drawIndexes(t, b)
	want := false
	if b.Round == round && b.State != pipeline.Done {
		b.Failed = append(b.Failed, failed...)
		slices.Sort(b.Failed)
		b.Failed = slices.Compact(b.Failed)
		b.Error = "boom"
		b.State = b.Settle()
		want = b.State == pipeline.Dead
	}
	got, err := m.store.Fail(m.ctx, m.run.Name, b.Index, round, failed, "boom")
	equal(t, err, nil)
	equal(t, got, want)
}

func (m *machine) requeueOne(t *rapid.T) {
	b, at := m.drawBatch(t), m.tick()
	round, from := drawRound(t, b), rapid.SampledFrom([]pipeline.BatchState{pipeline.Queued, pipeline.Dead}).Draw(t, "state")
	want := b.Round == round && b.State == from
	seen := pipeline.Batch{Run: m.run.Name, Index: b.Index, State: from, Round: round}
	opinions := rapid.IntRange(0, 2).Draw(t, "opinions")
	if want {
		b.State, b.Round, b.Failed, b.Opinions, b.QueuedAt = pipeline.Queued, round+1, nil, opinions, at
	}
	got, err := m.store.Requeue(m.ctx, seen, opinions, at)
	equal(t, err, nil)
	equal(t, got, want)
}

func (m *machine) dropOne(t *rapid.T) {
	b := m.drawBatch(t)
	round, from := drawRound(t, b), rapid.SampledFrom(pipeline.BatchStates).Draw(t, "state")
	want := b.Round == round && b.State == from && (from == pipeline.Dead || from == pipeline.Queued)
	seen := pipeline.Batch{Run: m.run.Name, Index: b.Index, State: from, Round: round}
	if want {
		b.State = pipeline.Dropped
	}
	got, err := m.store.Drop(m.ctx, seen)
	equal(t, err, nil)
	equal(t, got, want)
}

// check compares batches, progress and answers.
func (m *machine) check(t *rapid.T) {
	var indexes []int
	for i := range m.batches {
		indexes = append(indexes, i)
	}
	all, err := m.store.BatchesAt(m.ctx, m.run.Name, indexes)
	equal(t, err, nil)
	slices.SortFunc(all, func(a, b pipeline.Batch) int { return a.Index - b.Index })
	equal(t, all, m.batches)

	want := pipeline.Progress{Batches: map[pipeline.BatchState]int{}, Stored: len(m.stored), PromptTokens: 10 * len(m.stored), OutputTokens: m.tokens, ThinkingTokens: m.thought}
	for _, b := range m.batches {
		want.Batches[b.State]++
		want.Generations += b.Count
		switch b.State {
		case pipeline.Dead:
			want.Failed += len(b.Missing())
		case pipeline.Dropped:
			want.Dropped += len(b.Missing())
		}
		if d := b.DoneAt; !d.IsZero() {
			want.RecentGenerations += b.Count
			if want.FirstDone.IsZero() || d.Before(want.FirstDone) {
				want.FirstDone = d
			}
			if d.After(want.LastDone) {
				want.LastDone = d
			}
			for i := range b.Count {
				want.RecentTokens += m.stored[b.First+i].OutputTokens
			}
		}
	}
	got, err := m.store.Progress(m.ctx, m.run.Name, start())
	equal(t, err, nil)
	equal(t, got, want)

	for a, err := range m.store.Answers(m.ctx, m.run.Name) {
		equal(t, err, nil)
		stored, ok := m.stored[a.Item]
		equal(t, a.Result != nil, ok)
		if ok {
			equal(t, *a.Result, stored)
		}
	}
}

func equal[T any](t *rapid.T, got, want T) {
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}
