package producer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// cut cuts generations of these sizes and returns the batches in the order in which they were
// emitted.
func cut(t rapid.TB, sizes []int, most, base int) []pipeline.Batch {
	var batches []pipeline.Batch
	c := newCutter("r", len(sizes), most, base, func(b pipeline.Batch) error {
		batches = append(batches, b)
		return nil
	})
	for _, size := range sizes {
		if err := c.add(size); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	if c.batches() != len(batches) {
		t.Fatalf("the cutter counts %d batches, handed over were %d", c.batches(), len(batches))
	}
	return batches
}

// drawSizes draws as many generations as make guided batches of more than one, at times some that
// fill a batch alone.
func drawSizes(t *rapid.T) []int {
	n := rapid.IntRange(0, 6000).Draw(t, "generations")
	usual := rapid.IntRange(1, 2000).Draw(t, "usual size")
	sizes := slices.Repeat([]int{usual}, n)
	large := rapid.SliceOfN(rapid.IntRange(0, 5999), 0, 60).Draw(t, "large ones")
	for _, at := range large {
		if at < n {
			sizes[at] = rapid.IntRange(1, 2*pipeline.MaxBatchBytes).Draw(t, "large size")
		}
	}
	return sizes
}

func TestEveryGenerationIsInExactlyOneBatchInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := drawSizes(t)
		most := rapid.IntRange(1, pipeline.MaxBatch).Draw(t, "most")
		base := rapid.IntRange(0, pipeline.MaxBatchBytes+10).Draw(t, "base")
		next := 0
		for i, b := range cut(t, sizes, most, base) {
			if b.Index != i || b.First != next || b.Count < 1 {
				t.Fatalf("batch %d is %+v, want it to begin with generation %d", i, b, next)
			}
			if b.Run != "r" || b.State != pipeline.Planned || b.Round != 1 {
				t.Fatalf("batch %d is not planned in its first round: %+v", i, b)
			}
			if b.Count > most {
				t.Fatalf("batch %d has %d generations, more than %d", i, b.Count, most)
			}
			bytes := base
			for _, size := range sizes[b.First : b.First+b.Count] {
				bytes += size
			}
			if b.Count > 1 && bytes > pipeline.MaxBatchBytes {
				t.Fatalf("batch %d has %d generations and %d bytes", i, b.Count, bytes)
			}
			next += b.Count
		}
		if next != len(sizes) {
			t.Fatalf("%d of %d generations are in a batch", next, len(sizes))
		}
	})
}

func TestTheSameSizesGiveTheSameBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := drawSizes(t)
		most := rapid.IntRange(1, pipeline.MaxBatch).Draw(t, "most")
		if diff := cmp.Diff(cut(t, sizes, most, 100), cut(t, sizes, most, 100)); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

// Where bytes do not matter a batch's size follows from what remains alone.
func TestBatchesAreCutToAFiveHundredthOfWhatRemains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50_000).Draw(t, "generations")
		most := rapid.IntRange(1, 32).Draw(t, "most")
		for i, b := range cut(t, slices.Repeat([]int{10}, n), most, 100) {
			if want := max(1, min((n-b.First)/500, most)); b.Count != want {
				t.Fatalf("batch %d of %d generations with %d remaining has %d, want %d", i, n, n-b.First, b.Count, want)
			}
		}
	})
}

func TestARunEndsInSingleGenerations(t *testing.T) {
	batches := cut(t, slices.Repeat([]int{500}, 10_000), 8, 300)
	counts := map[int]int{}
	for i, b := range batches {
		counts[b.Count]++
		if i > 0 && b.Count > batches[i-1].Count {
			t.Errorf("batch %d is larger than the one before it", i)
		}
	}
	if batches[0].Count != 8 {
		t.Errorf("the first batch has %d generations, want 8", batches[0].Count)
	}
	if counts[1] < 999 { // 1,000 or fewer remaining give single ones
		t.Errorf("the run ends in %d single generations, want at least 999; batches by size: %v", counts[1], counts)
	}
}

func TestAGenerationThatFillsABatchStandsAlone(t *testing.T) {
	sizes := slices.Repeat([]int{10}, 5000)
	sizes[3], sizes[12] = pipeline.MaxBatchBytes+1, pipeline.MaxBatchBytes-10
	var counts []int
	for _, b := range cut(t, sizes, 8, 10)[:6] {
		counts = append(counts, b.Count)
	}
	if diff := cmp.Diff([]int{3, 1, 8, 1, 8, 8}, counts); diff != "" {
		t.Errorf("generations per batch (-want +got):\n%s", diff)
	}
}

func TestTheCutterReturnsWhatItsReceiverReturns(t *testing.T) {
	full := errors.New("full")
	c := newCutter("r", 2, 1, 0, func(pipeline.Batch) error { return full })
	if err := c.add(1); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

func TestARunWithTooManyBatchesIsRefused(t *testing.T) {
	c := newCutter("r", 1, 1, 0, func(pipeline.Batch) error { return nil })
	c.batch.Index = pipeline.MaxBatches - 1
	if err := c.add(1); err != nil {
		t.Fatalf("the last batch that is allowed: %v", err)
	}
	if err := c.add(1); err == nil || !strings.Contains(err.Error(), "10000000 batches: raise the batch size") {
		t.Errorf("one batch too many: %v", err)
	}
}

// A load that an earlier version began has to be continued in the same way, so the sizes must not
// change.
func TestSizesAreThoseOfTheFirstVersionOfTheMessage(t *testing.T) {
	run := pipeline.Run{Name: "r", UID: "01J", Spec: pipeline.Spec{Model: "tiny", System: "Be <brief>.", Options: pipeline.Options{NumPredict: 64}}}
	empty, err := emptyBytes(run)
	const none = `{"run":"r","uid":"01J","batch":10000000,"round":1,"model":"tiny","system":"Be <brief>.","options":{"num_predict":64},"generations":null}`
	if err != nil || empty != len(none) {
		t.Errorf("a batch without generations has %d bytes, %v; it had %d", empty, err, len(none))
	}
	one, err := generationBytes(pipeline.User("a < b?"), "")
	const had = `{"index":256,"item":1000000000,"sample":1000,"seed":2147483647,"prompt":"a < b?"},`
	if err != nil || one != len(had) {
		t.Errorf("a generation has %d bytes, %v; it had %d", one, err, len(had))
	}
}

func TestAllMessagesOfAChatCount(t *testing.T) {
	chat := []pipeline.Message{{Role: pipeline.RoleSystem, Content: "Be brief."}, {Role: pipeline.RoleUser, Content: strings.Repeat("a", 1000)}, {Role: pipeline.RoleAssistant, Content: "b"}, {Role: pipeline.RoleUser, Content: "c"}}
	size, err := generationBytes(chat[1:], pipeline.JSON("["+strings.Repeat(" ", 5000)+"]"))
	if err != nil || size < 6000 || size > 6500 || chat[3].Content != "c" {
		t.Errorf("%d bytes, %v", size, err)
	}
}

func TestARunOfTooManyBatchesIsRefused(t *testing.T) {
	c := newCutter("r", 2, 1, 0, func(pipeline.Batch) error { return nil })
	c.batch.Index = pipeline.MaxBatches - 1
	if err := c.add(1); err != nil {
		t.Fatal(err)
	}
	if err := c.add(1); err == nil || !strings.Contains(err.Error(), "10000000 batches") {
		t.Errorf("a batch beyond the bound: %v", err)
	}
}

// Batches of runs that are loaded already were cut by what was encoded.
func TestTheBytesOfAPromptAreCountedAsTheyAreEncoded(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, prompt string) {
		encoded, err := pipeline.Encode(struct {
			Index  int    `json:"index"`
			Item   int    `json:"item"`
			Sample int    `json:"sample"`
			Seed   int    `json:"seed"`
			Prompt string `json:"prompt"`
		}{pipeline.MaxBatch, pipeline.MaxItems, pipeline.MaxSamples, maxSeed, prompt})
		if got, want := promptBytes(prompt), len(encoded)+1; err != nil || got != want {
			t.Errorf("%q: %d bytes, and %d encoded: %v", prompt, got, want, err)
		}
	}
	for c := range rune(0x3000) {
		check(t, "a"+string(c)+"b")
		check(t, "a"+string([]byte{byte(c)})+"b") // no UTF-8 from 0x80 on
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))+rapid.String().Draw(t, "text"))
	})
}
