package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// A suite gives each test runs of its own in one store.
type suite struct {
	store store.Store
	runs  int
}

// name returns a run's name that no other test has. Some names are prefixes of others.
func (s *suite) name() string {
	s.runs++
	return fmt.Sprintf("run-%d", s.runs)
}

// start is the time at which everything in these tests happens. It has no more than milliseconds,
// because stores keep no more.
func start() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC) }

func (s *suite) newRun(items, samples int) pipeline.Run {
	temperature := 0.7
	return pipeline.Run{
		Name: s.name(), UID: "01J00000000000000000000000", State: pipeline.RunLoading,
		Items: items, Generations: items * samples, CreatedAt: start(), LongestPrompt: 4321, Key: pipeline.Key("\x00 a secret \xff"),
		Spec: pipeline.Spec{
			Model: "llama3.2:3b", System: "Be $brief.", Prompt: "Solve: {{.question}} <&>", Samples: samples, Batch: 4, Seed: 7,
			Options: pipeline.Options{Temperature: &temperature, NumPredict: 512, Stop: []string{"\n\n", "</s>"}, Schema: []byte(`{"type":"object","title":"<b> & é"}`)},
			Dataset: pipeline.DatasetID{Name: "gsm8k", Digest: "sha256:00ff", Columns: []string{"question", "é, \"<a>\""}, Files: []string{"00ff"}},
			Layout:  "alpaca", ResponseField: "answer $1",
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

// prepare makes the same fixture and stores nothing.
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

// thinking returns what is thought before an answer: nothing, little or more than stores keep as it
// is.
func thinking(index int) string { return strings.Repeat("hm, é\n", index%3*300) }

// thinkingTokens returns how many tokens of an answer are thinking: none, half or all.
func thinkingTokens(index int, text string) int { return index % 3 * len(text) / 2 }

// results returns a message with answers for some generations of a batch. Each has 10 prompt
// tokens and as many output tokens as its text has bytes.
func (f *fixture) results(batch int, text string, indexes ...int) pipeline.Results {
	m := pipeline.Results{
		Run: f.run.Name, UID: f.run.UID, Batch: batch, Round: 1, Consumer: "01J0000000000000000000000C", GPU: "Tesla T4 (0)",
		Engine: pipeline.Ollama, Digest: "0123456789abcdef",
	}
	for _, index := range indexes {
		item, sample := f.cut[batch].Generation(index, f.run.Spec.Samples)
		m.Results = append(m.Results, pipeline.Result{
			Reasoning: thinking(index),
			Index:     index, Item: item, Sample: sample, Text: text, Finish: "stop", Seed: index, PromptTokens: 10, OutputTokens: len(text),
			ThinkingTokens: thinkingTokens(index, text), DurationMS: 1234, CreatedAt: start().Add(time.Duration(index) * time.Second),
		})
	}
	return m
}

// all returns all indexes of a batch.
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

// hasBatch compares a stored batch with the batch as it was loaded, after change was applied to
// that.
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
	// Rows are compared as a whole, since a diff of a megabyte byte by byte takes seconds.
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}
