package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
