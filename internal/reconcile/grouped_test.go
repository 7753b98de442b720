package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestOnlyLettersThatWaitAreGrouped(t *testing.T) {
	m := failed(5)
	m.batches[1].State, m.batches[1].Round = pipeline.Queued, 2
	m.batches[2].State = pipeline.Dropped
	got, err := m.engine(nil).Group(t.Context(), Filter{Run: testRun}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[Disposition]int{UnderWay: 1, Dropped: 1}, got.Settled); diff != "" || got.Letters != 5 {
		t.Errorf("of %d letters are settled (-want +got):\n%s", got.Letters, diff)
	}
	if len(got.Groups) != 1 || got.Groups[0].Generations != 3 || got.Groups[0].Batches != 3 {
		t.Errorf("the groups are %+v", got.Groups)
	}
	if got, err := m.engine(nil).Group(t.Context(), Filter{Run: testRun}, 1); err != nil || got.Letters != 1 {
		t.Errorf("of one there are %d, %v", got.Letters, err)
	}
	if got, err := m.engine(nil).Group(t.Context(), Filter{Run: "other"}, 0); err != nil || got.Groups == nil || len(got.Groups) > 0 {
		t.Errorf("without letters there is %+v, %v", got, err)
	}
}
