package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTheBoundDealsEachAnswerToTheFirstFreeSlot(t *testing.T) {
	// Slot 0: 5, then 4. Slot 1: 3, then 3, then 1.
	if got := oneByOne([]int{5, 3, 3, 4, 1}, 2); got != 9 {
		t.Errorf("two slots take %d, want 9", got)
	}
	if got := use([]int{5, 3, 3, 4, 1}, 2, 9); got != 16.0/18 {
		t.Errorf("use %v, want 16/18", got)
	}
}

func TestAStaticBatchTakesAsLongAsItsLongestAnswer(t *testing.T) {
	if got := staticBatches([]int{5, 3, 3, 4, 1}, 1, 2); got != 5+4+1 {
		t.Errorf("one GPU with two slots takes %d, want 10", got)
	}
	if got := staticBatches([]int{5, 3, 3, 4, 1}, 2, 2); got != 5 {
		t.Errorf("two GPUs with two slots take %d, want 5", got)
	}
}

func TestNoDealIsShorterThanTheWorkAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 200).Draw(t, "tokens")
		gpus := rapid.IntRange(1, 5).Draw(t, "gpus")
		const slots = 4
		one, static := oneByOne(tokens, gpus*slots), staticBatches(tokens, gpus, slots)
		if longest := slices.Max(tokens); one < longest || static < longest {
			t.Fatalf("%d and %d, the longest answer takes %d", one, static, longest)
		}
		if u := use(tokens, gpus*slots, float64(min(one, static))); u > 1+1e-9 {
			t.Fatalf("use %v", u)
		}
	})
}

func TestBuiltinLengthsAreLikeGSM8Ks(t *testing.T) {
	tokens := builtinLengths(gsm8kAnswers)
	sum := 0
	for _, n := range tokens {
		sum += n
	}
	mean := float64(sum) / float64(len(tokens))
	const real = 71.9 // of the solutions themselves
	if math.Abs(mean-real) > 1.5 {
		t.Errorf("mean %.1f tokens, want about %.1f", mean, real)
	}
	if low, high := slices.Min(tokens), slices.Max(tokens); low < tokensOf(gsm8kShortest) || high > tokensOf(gsm8kLongest) || high < 200 {
		t.Errorf("from %d to %d tokens", low, high)
	}
	if diff := cmp.Diff(tokens, builtinLengths(gsm8kAnswers)); diff != "" {
		t.Errorf("not the same twice: %s", diff)
	}
}

func TestLengthsAreReadFromTheColumnAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, []byte(`{"question":"?","answer":"eight by"}`+"\n"+`{"answer":"é"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tokens, err := readLengths(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{2, 1}, tokens); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte(`{"question":"?"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readLengths(path); err == nil {
		t.Error("no error for rows without the column")
	}
}

func TestIdleTimeIsCountedBeforeTheFirstAndAfterTheLastAnswerOfEachSlot(t *testing.T) {
	began := time.Now()
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	// Slot A works from 1 to 4 and from 4 to 10, slot B from 2 to 7.
	times := trace{starts: []time.Time{at(1), at(4), at(2)}, ends: []time.Time{at(4), at(10), at(7)}}
	before, after := times.idle(2, began)
	if before != 3*time.Second || after != 3*time.Second {
		t.Errorf("%s and %s, want 3s and 3s", before, after)
	}
}
