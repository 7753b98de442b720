package pipeline

import (
	"cmp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawRun(t *rapid.T, label string) string {
	return rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,62}`).Draw(t, label)
}

// Short names of few letters, so that one is often the beginning of the other.
func drawShortRun(t *rapid.T, label string) string {
	return rapid.StringMatching(`[ab0][ab0-]{0,3}`).Draw(t, label)
}

func drawItem(t *rapid.T, label string) int   { return rapid.IntRange(0, MaxItems-1).Draw(t, label) }
func drawSample(t *rapid.T, label string) int { return rapid.IntRange(0, MaxSamples-1).Draw(t, label) }
func drawBatch(t *rapid.T, label string) int  { return rapid.IntRange(0, MaxBatches-1).Draw(t, label) }

func TestIdsGoThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run, item, sample, batch := drawRun(t, "run"), drawItem(t, "item"), drawSample(t, "sample"), drawBatch(t, "batch")
		if r, i, err := ParseItemID(ItemID(run, item)); err != nil || r != run || i != item {
			t.Fatalf("item: %s, %d, %v", r, i, err)
		}
		if r, i, s, err := ParseGenerationID(GenerationID(run, item, sample)); err != nil || r != run || i != item || s != sample {
			t.Fatalf("generation: %s, %d, %d, %v", r, i, s, err)
		}
		if r, i, err := ParseBatchID(BatchID(run, batch)); err != nil || r != run || i != batch {
			t.Fatalf("batch: %s, %d, %v", r, i, err)
		}
	})
}

func TestIdsSortAsTheirNumbersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawItem(t, "a"), drawItem(t, "b")
		x, y := drawSample(t, "x"), drawSample(t, "y")
		if got := strings.Compare(ItemID("r", a), ItemID("r", b)); got != cmp.Compare(a, b) {
			t.Fatalf("items %d and %d compare as %d", a, b, got)
		}
		want := cmp.Or(cmp.Compare(a, b), cmp.Compare(x, y))
		if got := strings.Compare(GenerationID("r", a, x), GenerationID("r", b, y)); got != want {
			t.Fatalf("generations %d.%d and %d.%d compare as %d", a, x, b, y, got)
		}
		c, d := drawBatch(t, "c"), drawBatch(t, "d")
		if got := strings.Compare(BatchID("r", c), BatchID("r", d)); got != cmp.Compare(c, d) {
			t.Fatalf("batches %d and %d compare as %d", c, d, got)
		}
	})
}

func TestTheRangeOfARunHoldsItsIdsAndNoOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mine, other := drawShortRun(t, "mine"), drawShortRun(t, "other")
		low, high := IDRange(mine)
		for _, run := range []string{mine, other} {
			for _, id := range []string{
				ItemID(run, drawItem(t, "item")), GenerationID(run, drawItem(t, "item"), drawSample(t, "sample")), BatchID(run, drawBatch(t, "batch")),
			} {
				if in := low <= id && id < high; in != (run == mine) {
					t.Fatalf("%s is in the range of %s: %v", id, mine, in)
				}
			}
		}
	})
}

func TestWhatIsNoIdIsRefused(t *testing.T) {
	for _, id := range []string{
		"", "/", "r", "r/", "r/1", "/000000001", "R/000000001", "r/00000000", "r/0000000001", "r/+00000001", "r/00000000x", "r/000000001.",
		"r/000000001.1", "r/000000001.1000", "r/000000001.001.001", "r/s/000000001", "r.001", strings.Repeat("a", 64) + "/000000001",
	} {
		if run, item, err := ParseItemID(id); err == nil {
			t.Errorf("%q is item %d of %s", id, item, run)
		}
		if run, item, sample, err := ParseGenerationID(id); err == nil {
			t.Errorf("%q is generation %d.%d of %s", id, item, sample, run)
		}
		if run, batch, err := ParseBatchID(id); err == nil {
			t.Errorf("%q is batch %d of %s", id, batch, run)
		}
	}
}

func TestSeedsHave31BitsAndDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run, seed := drawRun(t, "run"), rapid.Int().Draw(t, "seed")
		item := drawItem(t, "item")
		seen := map[int]int{}
		for sample := range 20 {
			s := Seed(seed, GenerationID(run, item, sample))
			if s < 0 || s > 1<<31-1 {
				t.Fatalf("seed %d does not have 31 bits", s)
			}
			if before, ok := seen[s]; ok {
				t.Fatalf("samples %d and %d have seed %d", before, sample, s)
			}
			seen[s] = sample
		}
	})
}

// These never change: a run that is loaded again asks for the same answers.
func TestSeedsAreStable(t *testing.T) {
	for _, c := range []struct {
		run  int
		id   string
		want int
	}{
		{0, "gsm8k/000000000.000", 60529080},
		{0, "gsm8k/000000000.001", 1271057222},
		{1, "gsm8k/000000000.000", 844949247},
		{-1, "r/999999999.999", 861609208},
	} {
		if got := Seed(c.run, c.id); got != c.want {
			t.Errorf("Seed(%d, %q) = %d, want %d", c.run, c.id, got, c.want)
		}
	}
}
