package producer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// reader returns a reader of a run of these rows that was never loaded, and its batches of one
// generation each.
func reader(t *testing.T, s pipeline.Spec, lines []string) (*WorkBuilder, *fakeStore, []pipeline.Batch) {
	t.Helper()
	store := newStore()
	store.run = &pipeline.Run{Name: "r", Spec: s, State: pipeline.RunOpen}
	var batches []pipeline.Batch
	for i, line := range lines {
		store.items[i] = pipeline.Item{Run: "r", Seq: i, Input: []byte(line)}
		for range s.Samples {
			batches = append(batches, pipeline.Batch{Run: "r", Index: len(batches), First: len(batches), Count: 1, State: pipeline.Planned, Round: 1})
		}
	}
	r, err := NewWorkBuilder(store, *store.run)
	if err != nil {
		t.Fatal(err)
	}
	return r, store, batches
}

// The prompt may be a small part of a row.
func TestLargeItemsAreReadAFewAtATime(t *testing.T) {
	s := spec()
	s.Field, s.Prompt = "", "{{.question}}"
	lines := make([]string, 11)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"question":"%d?","image":"%s"}`, i, strings.Repeat("x", 2<<20))
	}
	r, store, batches := reader(t, s, lines)
	works, err := r.Build(t.Context(), batches)
	if err != nil || len(works) != len(lines) {
		t.Fatal(len(works), err)
	}
	// A first read when nothing is known, then itemBytes at a time.
	if diff := cmp.Diff([]int{8, 3}, store.reads); diff != "" {
		t.Errorf("items of each read (-want +got):\n%s", diff)
	}
}

func TestSmallItemsAreReadManyAtATime(t *testing.T) {
	store, q := loaded(t, spec(), numbered(4000)...), newQueue()
	store.calls = nil
	if err := publisher(t, Config{Window: 1 << 20}, store, q).Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	if n := store.called("Items"); n > 30 {
		t.Errorf("4,000 items are read in %d calls", n)
	}
}

func TestLargePromptsAreSentAFewAtATime(t *testing.T) {
	s := spec()
	s.Samples = 3
	lines := make([]string, 80)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"question":"%d%s"}`, i, strings.Repeat("x", pipeline.MaxPromptBytes-10))
	}
	r, _, batches := reader(t, s, lines)
	sent := 0
	for len(batches) > 0 {
		works, err := r.Build(t.Context(), batches)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(works) * pipeline.MaxPromptBytes; n > maxPublishBytes+pipeline.MaxBatchBytes {
			t.Fatalf("%d bytes of prompts at once", n)
		}
		sent += len(works)
		batches = batches[len(works):]
	}
	if sent != 240 {
		t.Errorf("%d of 240 batches", sent)
	}
}
