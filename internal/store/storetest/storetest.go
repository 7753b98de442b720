// Package storetest holds the tests that every store passes, and what they need of a server.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// Run tests a store that open returns, empty and to be closed by open's own cleanup.
func Run(t *testing.T, open func(testing.TB) store.Store) {
	s := &suite{store: open(t)}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"a run is stored once and comes back as it was", createdOnce},
		{"a run that is not there is ErrNoRun", unknownRun},
		{"a run is created by one of many at once", createdAtOnce},
		{"a run loaded with another spec keeps its first", secondSpec},
		{"runs are listed by name", listed},
		{"a load that stopped half-way goes on", loadGoesOn},
		{"a load may be repeated and done twice at once", loadTwice},
		{"sealing opens a run that is loading and no other", sealing},
		{"a run that is cancelled stays so", cancelled},
		{"items come back as they were", itemsComeBack},
		{"batches of a state come in order and in pages", pagedBatches},
		{"batches are found by index", batchesAt},
		{"only planned batches become queued", markQueued},
		{"requeue needs the state and the round", requeue},
		{"drop needs a dead batch and its round", drop},
		{"failures settle a batch", failures},
		{"a failure of another round changes nothing", otherRound},
		{"the first of two answers stays", firstAnswerStays},
		{"one call may hold a generation twice", twiceInOneCall},
		{"results settle a batch", resultsSettle},
		{"a late result makes a dead batch done", lateResult},
		{"a planned batch takes results and failures", plannedBatch},
		{"any text comes back as it was", anyText},
		{"results of a run that is gone are not stored", strays},
		{"many sinks at once store each generation once", manySinks},
		{"many changes of one batch at once are all kept", manyChanges},
		{"one of many at once takes a batch", oneTakes},
		{"progress counts generations and tokens once", progress},
		{"progress of a run that is not there is zero", noProgress},
		{"answers come in dataset order with holes", answersInOrder},
		{"answers of more rows than a page", manyAnswers},
		{"answers stop at the run's items and where the reader stops", answersStop},
		{"answers of a run that is loading are those of its items", answersWhileLoading},
		{"samples are stored answers", samples},
		{"consumers are kept by their id", consumers},
		{"deleting a run leaves others alone", deleteOne},
		{"deleting can be interrupted and repeated", deleteInterrupted},
		{"a run that is being deleted takes nothing", deletingTakesNothing},
		{"a context that ended is returned as it is", endedContext},
		{"a store does what a simple model does", model},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

// A suite gives each test runs of its own in one store.
type suite struct {
	store store.Store
	runs  int
}

// name returns a run's name that no other test has. Some are the beginnings of others.
func (s *suite) name() string {
	s.runs++
	return fmt.Sprintf("run-%d", s.runs)
}

// start is when everything in these tests happens, to the millisecond: no store keeps more.
func start() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC) }

func (s *suite) newRun(items, samples int) pipeline.Run {
	temperature := 0.7
	return pipeline.Run{
		Name: s.name(), UID: "01J00000000000000000000000", State: pipeline.RunLoading,
		Items: items, Generations: items * samples, CreatedAt: start(),
		Spec: pipeline.Spec{
			Model: "llama3.2:3b", System: "Be $brief.", Prompt: "Solve: {{.question}} <&>", Samples: samples, Batch: 4, Seed: 7,
			Options: pipeline.Options{Temperature: &temperature, NumPredict: 512, Stop: []string{"\n\n", "</s>"}},
			Dataset: pipeline.Dataset{Name: "gsm8k", Digest: "sha256:00ff"},
		},
	}
}

// A fixture is a run in the store, with its batches.
type fixture struct {
	t     *testing.T
	ctx   context.Context
	store store.Store
	run   pipeline.Run
	items []pipeline.Item
	cut   []pipeline.Batch
}

// load stores and seals a run, cut into batches of size generations.
func (s *suite) load(t *testing.T, items, samples, size int) *fixture {
	t.Helper()
	f := s.prepare(t, items, samples, size)
	f.ok(f.create())
	f.put()
	f.ok(f.store.Seal(f.ctx, f.run.Name, len(f.cut)))
	return f
}

// prepare does the same and stores nothing.
func (s *suite) prepare(t *testing.T, items, samples, size int) *fixture {
	f := &fixture{t: t, ctx: t.Context(), store: s.store, run: s.newRun(items, samples)}
	for seq := range items {
		f.items = append(f.items, pipeline.Item{Run: f.run.Name, Seq: seq, Input: fmt.Appendf(nil, `{"z":%d.50,"a":"row %d"}`, seq, seq)})
	}
	for first := 0; first < f.run.Generations; first += size {
		f.cut = append(f.cut, pipeline.Batch{
			Run: f.run.Name, Index: len(f.cut), First: first, Count: min(size, f.run.Generations-first), State: pipeline.Planned, Round: 1,
		})
	}
	return f
}

func (f *fixture) create() error {
	_, _, err := f.store.CreateRun(f.ctx, f.run)
	return err
}

func (f *fixture) put() {
	f.t.Helper()
	for first := 0; first < len(f.items); first += store.LoadChunk {
		f.ok(f.store.PutItems(f.ctx, f.items[first:min(len(f.items), first+store.LoadChunk)]))
	}
	for first := 0; first < len(f.cut); first += store.LoadChunk {
		f.ok(f.store.PutBatches(f.ctx, f.cut[first:min(len(f.cut), first+store.LoadChunk)]))
	}
}

// queue marks batches as queued.
func (f *fixture) queue(indexes ...int) *fixture {
	f.t.Helper()
	f.ok(f.store.MarkQueued(f.ctx, f.run.Name, indexes, start()))
	return f
}

// results returns a message with answers for some generations of a batch. Each has 10 prompt
// tokens and as many output tokens as its text has bytes.
func (f *fixture) results(batch int, text string, indexes ...int) pipeline.Results {
	m := pipeline.Results{
		Run: f.run.Name, UID: f.run.UID, Batch: batch, Round: 1, Consumer: "01J0000000000000000000000C", GPU: "Tesla T4 (0)",
	}
	for _, index := range indexes {
		item, sample := f.cut[batch].Generation(index, f.run.Spec.Samples)
		m.Results = append(m.Results, pipeline.Result{
			Index: index, Item: item, Sample: sample, Text: text, Finish: "stop", Seed: index, PromptTokens: 10, OutputTokens: len(text),
			DurationMS: 1234, CreatedAt: start().Add(time.Duration(index) * time.Second),
		})
	}
	return m
}

// all returns the indexes of a batch.
func (f *fixture) all(batch int) []int {
	indexes := make([]int, f.cut[batch].Count)
	for i := range indexes {
		indexes[i] = i
	}
	return indexes
}

func (f *fixture) write(messages ...pipeline.Results) pipeline.Written {
	f.t.Helper()
	written, err := f.store.WriteResults(f.ctx, messages, start())
	f.ok(err)
	return written
}

func (f *fixture) fail(batch, round int, indexes ...int) bool {
	f.t.Helper()
	dead, err := f.store.Fail(f.ctx, f.run.Name, batch, round, indexes, "$boom")
	f.ok(err)
	return dead
}

func (f *fixture) batch(index int) pipeline.Batch {
	f.t.Helper()
	batches, err := f.store.BatchesAt(f.ctx, f.run.Name, []int{index})
	f.ok(err)
	if len(batches) != 1 {
		f.t.Fatalf("batch %d: got %d of them", index, len(batches))
	}
	return batches[0]
}

// hasBatch compares a stored batch with the one that was cut, changed as the test says.
func (f *fixture) hasBatch(index int, change func(*pipeline.Batch)) {
	f.t.Helper()
	want := f.cut[index]
	change(&want)
	same(f.t, f.batch(index), want)
}

func (f *fixture) progress() pipeline.Progress {
	f.t.Helper()
	p, err := f.store.Progress(f.ctx, f.run.Name, start())
	f.ok(err)
	return p
}

func (f *fixture) answers() []pipeline.Answer {
	f.t.Helper()
	var all []pipeline.Answer
	for a, err := range f.store.Answers(f.ctx, f.run.Name) {
		f.ok(err)
		all = append(all, a)
	}
	return all
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	// Rows are compared as a whole: a megabyte byte by byte takes seconds.
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}
