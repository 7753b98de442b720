package producer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// content is what a store holds in the end, however it came there.
type content struct {
	Run     pipeline.Run
	Items   map[int]pipeline.Item
	Batches map[int]pipeline.Batch
}

func (s *fakeStore) content() content { return content{*s.run, s.items, s.batches} }

// differences compares what two stores hold, but for the time at which the run was loaded.
func differences(a, b *fakeStore) string {
	x, y := a.content(), b.content()
	x.Run.CreatedAt, y.Run.CreatedAt = time.Time{}, time.Time{}
	x.Run.Key, y.Run.Key = nil, nil // new with each load
	if reflect.DeepEqual(x, y) {    // the diff takes a while
		return ""
	}
	return "(-first +second):\n" + cmp.Diff(x, y)
}

func TestALoadStoresItemsAndBatchesAndSealsTheRunLast(t *testing.T) {
	store, lines, s := newStore(), numbered(2500), spec()
	s.Samples = 2
	data := rowsOf("train.jsonl", lines...)
	var seen []int
	run, wrote, err := Load(t.Context(), store, preflight(t, s, data), "uid", func(items int) { seen = append(seen, items) })
	if err != nil || !wrote {
		t.Fatal(wrote, err)
	}
	if diff := cmp.Diff(*store.run, run); diff != "" {
		t.Errorf("the run is returned as it is stored (-stored +returned):\n%s", diff)
	}
	if len(run.Key) != 32 || !slices.Equal(run.Key, store.run.Key) {
		t.Errorf("its key has %d bytes, or is another than the stored one", len(run.Key))
	}
	if run.State != pipeline.RunOpen || run.UID != "uid" || run.Items != 2500 || run.Generations != 5000 || run.Batches != len(store.batches) || run.CreatedAt.IsZero() {
		t.Errorf("%+v", run)
	}
	for i, line := range lines {
		if got := store.items[i]; string(got.Input) != line || got.Run != "r" || got.Seq != i {
			t.Fatalf("item %d is %+v", i, got)
		}
	}
	next := 0
	for i := range len(store.batches) {
		b := store.batches[i]
		if b.First != next || b.State != pipeline.Planned || b.Round != 1 {
			t.Fatalf("batch %d is %+v, want it to begin with %d", i, b, next)
		}
		next += b.Count
	}
	if next != 5000 || store.batches[0].Count != 8 {
		t.Errorf("%d generations in batches, the first of %d", next, store.batches[0].Count)
	}
	if diff := cmp.Diff([]int{1000, 2000, 2500}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if last := store.calls[len(store.calls)-1]; last != "Seal" || store.seals != 1 {
		t.Errorf("sealed %d times, the last call is %s", store.seals, last)
	}
}

func TestLargeRowsAreStoredAFewAtATime(t *testing.T) {
	lines := make([]string, 9)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"question":"%d?","image":"%s"}`, i, strings.Repeat("x", 1<<20))
	}
	store := loaded(t, spec(), lines...)
	if n := store.called("PutItems"); n != 3 {
		t.Errorf("9 MiB of rows are stored in %d calls, want 3", n)
	}
}

func TestALoadThatIsCompleteIsNotRepeated(t *testing.T) {
	store, data := newStore(), rowsOf("train.jsonl", numbered(10)...)
	found := preflight(t, spec(), data)
	if _, _, err := Load(t.Context(), store, found, "first", nil); err != nil {
		t.Fatal(err)
	}
	store.calls = nil
	data.Open = func() (Rows, error) { t.Error("the dataset is read again"); return nil, errors.New("no") }
	data.Name = "another-name.jsonl"
	run, wrote, err := Load(t.Context(), store, found, "second", nil)
	if err != nil || wrote || run.UID != "first" || run.Spec.Dataset.Name != "train.jsonl" {
		t.Errorf("%v, %v, %+v", wrote, err, run)
	}
	if diff := cmp.Diff([]string{"CreateRun"}, store.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestARunWithAnotherSpecIsAConflict(t *testing.T) {
	for _, state := range []pipeline.RunState{pipeline.RunLoading, pipeline.RunOpen} {
		store := loaded(t, spec(), numbered(10)...)
		store.run.State = state
		before := fmt.Sprint(store.content())
		other := spec()
		other.Seed, other.Model = 99, "large"
		data := rowsOf("train.jsonl", numbered(11)...)
		_, wrote, err := Load(t.Context(), store, preflight(t, other, data), "second", nil)
		var conflict *SpecConflict
		if !errors.As(err, &conflict) || wrote {
			t.Fatalf("%v, %v", wrote, err)
		}
		if diff := cmp.Diff(&SpecConflict{"r", []string{"dataset", "model", "seed"}}, conflict); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if want := "run r was made with another dataset, model, seed, and a run never changes: name another one with --run, or remove it first with `producer delete --run r`"; err.Error() != want {
			t.Errorf("it says %q", err)
		}
		if after := fmt.Sprint(store.content()); after != before {
			t.Errorf("it changed something: %s", after)
		}
	}
}

func TestARunThatIsBeingDeletedIsNotLoaded(t *testing.T) {
	store, data := loaded(t, spec(), numbered(3)...), rowsOf("train.jsonl", numbered(3)...)
	store.run.State = pipeline.RunDeleting
	if _, _, err := Load(t.Context(), store, preflight(t, spec(), data), "second", nil); err == nil || !strings.Contains(err.Error(), "run r is being deleted") {
		t.Errorf("%v", err)
	}
}

func TestADatasetThatChangesMeanwhileIsNotSealed(t *testing.T) {
	for name, changed := range map[string][]string{
		"a row more": numbered(11), "a row less": numbered(9), "another row": append(numbered(9), `{"question":"x"}`),
	} {
		store, data := newStore(), rowsOf("train.jsonl", numbered(10)...)
		found := preflight(t, spec(), data)
		found.Dataset = rowsOf("train.jsonl", changed...)
		_, _, err := Load(t.Context(), store, found, "uid", nil)
		if err == nil || !strings.Contains(err.Error(), "dataset train.jsonl changed while it was being loaded; run r is not usable: remove it with `producer delete --run r`") {
			t.Errorf("%s: %v", name, err)
		}
		if store.run.State != pipeline.RunLoading || store.seals != 0 {
			t.Errorf("%s: the run is %s", name, store.run.State)
		}
	}
}

// interruptedAt makes the nth call of a store fail: before it did anything, or after.
func interruptedAt(store *fakeStore, n int, worked bool) {
	count := 0
	store.fault = func(string) (before, after error) {
		if count++; count != n {
			return nil, nil
		}
		if worked {
			return nil, errAway
		}
		return errAway, nil
	}
}

func TestALoadGoesOnWhereverItWasInterrupted(t *testing.T) {
	data := rowsOf("train.jsonl", numbered(1200)...)
	found := preflight(t, spec(), data)
	whole := newStore()
	if _, _, err := Load(t.Context(), whole, found, "uid", nil); err != nil {
		t.Fatal(err)
	}
	if len(whole.calls) < 7 {
		t.Fatalf("only %d calls: %v", len(whole.calls), whole.calls)
	}
	for n := 1; n <= len(whole.calls); n++ {
		for _, worked := range []bool{false, true} {
			store := newStore()
			interruptedAt(store, n, worked)
			if _, _, err := Load(t.Context(), store, found, "uid", nil); !errors.Is(err, errAway) {
				t.Fatalf("call %d (%s): %v", n, whole.calls[n-1], err)
			}
			if store.run != nil && store.run.State == pipeline.RunOpen && whole.calls[n-1] != "Seal" {
				t.Fatalf("call %d (%s) failed and the run is open", n, whole.calls[n-1])
			}
			run, _, err := Load(t.Context(), store, found, "another", nil)
			if err != nil {
				t.Fatalf("again after call %d: %v", n, err)
			}
			if n > 1 && run.UID != "uid" {
				t.Errorf("after call %d the run has uid %s", n, run.UID)
			}
			if !slices.Equal(run.Key, store.run.Key) {
				t.Errorf("after call %d the run has another key than the stored one", n)
			}
			store.run.UID = "uid"
			if diff := differences(whole, store); diff != "" {
				t.Fatalf("after call %d (%s), done: %v: uninterrupted and got differ %s", n, whole.calls[n-1], worked, diff)
			}
			if store.seals != 1 {
				t.Errorf("sealed %d times", store.seals)
			}
		}
	}
}

// A store may have kept any part of the chunk that was being written.
func TestALoadGoesOnAfterPartOfAChunk(t *testing.T) {
	data := rowsOf("train.jsonl", numbered(1200)...)
	found := preflight(t, spec(), data)
	whole := newStore()
	if _, _, err := Load(t.Context(), whole, found, "uid", nil); err != nil {
		t.Fatal(err)
	}
	store := newStore()
	if _, _, err := Load(t.Context(), store, found, "uid", nil); err != nil {
		t.Fatal(err)
	}
	store.run.State, store.run.Batches = pipeline.RunLoading, 0
	for i := 1000; i < 1200; i++ {
		if i%3 == 0 || i >= 1100 {
			delete(store.items, i)
		}
	}
	for i := range len(store.batches) {
		if i > 700 && i%2 == 0 {
			delete(store.batches, i)
		}
	}
	if _, wrote, err := Load(t.Context(), store, found, "another", nil); err != nil || !wrote {
		t.Fatal(wrote, err)
	}
	if diff := differences(whole, store); diff != "" {
		t.Errorf("uninterrupted and got differ %s", diff)
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	store, data := newStore(), rowsOf("train.jsonl", numbered(1200)...)
	found := preflight(t, spec(), data)
	ctx, stop := context.WithCancel(t.Context())
	_, _, err := Load(ctx, store, found, "uid", func(int) { stop() })
	if !errors.Is(err, context.Canceled) || store.run.State != pipeline.RunLoading || len(store.items) != 1000 {
		t.Errorf("%v, run %s, %d items", err, store.run.State, len(store.items))
	}
}
