package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// cut cuts generations of these sizes and returns the batches in the order in which they were handed over.
func cut(t rapid.TB, sizes []int, most, base int) []Batch {
	var batches []Batch
	cutter := NewCutter("r", len(sizes), most, base, func(b Batch) error {
		batches = append(batches, b)
		return nil
	})
	for _, size := range sizes {
		if err := cutter.Add(size); err != nil {
			t.Fatal(err)
		}
	}
	if err := cutter.Flush(); err != nil {
		t.Fatal(err)
	}
	if cutter.Batches() != len(batches) {
		t.Fatalf("the cutter counts %d batches, handed over were %d", cutter.Batches(), len(batches))
	}
	return batches
}

// drawSizes draws as many generations as make guided batches of more than one, at times some that fill a batch alone.
func drawSizes(t *rapid.T) []int {
	n := rapid.IntRange(0, 6000).Draw(t, "generations")
	usual := rapid.IntRange(1, 2000).Draw(t, "usual size")
	sizes := slices.Repeat([]int{usual}, n)
	large := rapid.SliceOfN(rapid.IntRange(0, 5999), 0, 60).Draw(t, "large ones")
	for _, at := range large {
		if at < n {
			sizes[at] = rapid.IntRange(1, 2*MaxBatchBytes).Draw(t, "large size")
		}
	}
	return sizes
}

func TestEveryGenerationIsInExactlyOneBatchInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := drawSizes(t)
		most := rapid.IntRange(1, MaxBatch).Draw(t, "most")
		base := rapid.IntRange(0, MaxBatchBytes+10).Draw(t, "base")
		next := 0
		for i, b := range cut(t, sizes, most, base) {
			if b.Index != i || b.First != next || b.Count < 1 {
				t.Fatalf("batch %d is %+v, want it to begin with generation %d", i, b, next)
			}
			if b.Run != "r" || b.State != Planned || b.Round != 1 {
				t.Fatalf("batch %d is not planned in its first round: %+v", i, b)
			}
			if b.Count > most {
				t.Fatalf("batch %d has %d generations, more than %d", i, b.Count, most)
			}
			bytes := base
			for _, size := range sizes[b.First : b.First+b.Count] {
				bytes += size
			}
			if b.Count > 1 && bytes > MaxBatchBytes {
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
		most := rapid.IntRange(1, MaxBatch).Draw(t, "most")
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
	sizes[3], sizes[12] = MaxBatchBytes+1, MaxBatchBytes-10
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
	cutter := NewCutter("r", 2, 1, 0, func(Batch) error { return full })
	if err := cutter.Add(1); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

func TestARunWithTooManyBatchesIsRefused(t *testing.T) {
	cutter := NewCutter("r", 1, 1, 0, func(Batch) error { return nil })
	cutter.batch.Index = MaxBatches - 1
	if err := cutter.Add(1); err != nil {
		t.Fatalf("the last batch that is allowed: %v", err)
	}
	if err := cutter.Add(1); err == nil || !strings.Contains(err.Error(), "10000000 batches: raise the batch size") {
		t.Errorf("one batch too many: %v", err)
	}
}

func TestABatchKnowsItsGenerations(t *testing.T) {
	b := Batch{Run: "r", First: 7, Count: 3, Done: []int{1}}
	var got [][2]int
	for i := range b.Count {
		item, sample := b.Generation(i, 3)
		got = append(got, [2]int{item, sample})
	}
	if diff := cmp.Diff([][2]int{{2, 1}, {2, 2}, {3, 0}}, got); diff != "" {
		t.Errorf("items and samples (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{0, 2}, b.Missing()); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestABatchSettlesByWhatIsStoredAndWhatFailed(t *testing.T) {
	for _, c := range []struct {
		name         string
		state        BatchState
		done, failed []int
		want         BatchState
	}{
		{"nothing has come", Queued, nil, nil, Queued},
		{"some is stored", Queued, []int{0, 2}, nil, Queued},
		{"all is stored", Queued, []int{0, 1, 2}, nil, Done},
		{"some is stored, the rest failed", Queued, []int{0}, []int{1, 2}, Dead},
		{"all failed", Queued, nil, []int{0, 1, 2}, Dead},
		{"what failed was stored as well, and one is open", Queued, []int{0, 1}, []int{0, 1}, Queued},
		{"a result beats a dead letter", Dead, []int{0, 1, 2}, []int{0}, Done},
		{"a result beats a drop", Dropped, []int{0, 1, 2}, nil, Done},
		{"dropped stays dropped", Dropped, []int{0}, []int{1, 2}, Dropped},
		{"results may be stored before the batch is marked as queued", Planned, []int{0, 1, 2}, nil, Done},
		{"what is planned cannot be dead", Planned, []int{0}, []int{1, 2}, Planned},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := Batch{Run: "r", Count: 3, State: c.state, Done: c.done, Failed: c.failed}
			if got := b.Settle(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if diff := cmp.Diff(Batch{Run: "r", Count: 3, State: c.state, Done: c.done, Failed: c.failed}, b); diff != "" {
				t.Errorf("the batch itself changed:\n%s", diff)
			}
		})
	}
}
