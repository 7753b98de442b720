package producer

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestRowsAreSpreadOverTheDataset(t *testing.T) {
	for _, c := range []struct {
		rows, n int
		want    []int
	}{
		{10, 1, []int{0}}, {10, 2, []int{0, 9}}, {10, 3, []int{0, 4, 9}}, {10, 10, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{3, 10, []int{0, 1, 2}}, {1, 5, []int{0}}, {1000, 5, []int{0, 249, 499, 749, 999}},
	} {
		found := preflight(t, spec(), rowsOf("a.jsonl", numbered(c.rows)...))
		var got []int
		if err := Spread(t.Context(), found, c.n, func(p Pick) error { got = append(got, p.Seq); return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d of %d rows (-want +got):\n%s", c.n, c.rows, diff)
		}
	}
}

// What is picked is what the run sends for the row, with its seed, and where the row stands.
func TestAPickIsWhatIsSent(t *testing.T) {
	s := spec()
	s.System, s.Prefill, s.Seed, s.Samples = "Be brief.", "Well", 7, 3
	found := preflight(t, s, rowsOf("a.jsonl", `{"question":"a?"}`, `{"question":"b?"}`))
	store := newStore()
	run, _, err := Load(t.Context(), store, found, "uid", nil)
	if err != nil {
		t.Fatal(err)
	}
	build, err := BuildFrom(store)(run)
	if err != nil {
		t.Fatal(err)
	}
	batches, err := store.Batches(t.Context(), run.Name, pipeline.Planned, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	works, err := build(t.Context(), batches)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]pipeline.Request{}
	for _, work := range works {
		for _, g := range work.Generations {
			if g.Sample == 0 {
				want[g.Item] = work.Request(g)
			}
		}
	}
	got := map[int]pipeline.Request{}
	err = Spread(t.Context(), found, 5, func(p Pick) error {
		got[p.Seq] = p.Request
		if p.File != "a.jsonl" || p.Line != 2*(p.Seq+1) {
			t.Errorf("item %d stands in %s, line %d", p.Seq, p.File, p.Line)
		}
		return nil
	})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d are picked, %v", len(got), err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b func(int)) bool { return a == nil && b == nil })); diff != "" {
		t.Errorf("(-sent +picked):\n%s", diff)
	}
}

func TestSpreadingEndsWithItsContextAndWithAnError(t *testing.T) {
	found := preflight(t, spec(), rowsOf("a.jsonl", numbered(10)...))
	stop := errors.New("stop")
	if err := Spread(t.Context(), found, 5, func(Pick) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of a pick is lost: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Spread(ended, found, 5, func(Pick) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on: %v", err)
	}
}
