package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/status"
)

func TestAnAccountNamesWhatIsMissing(t *testing.T) {
	account := reconcile.Account{Run: "r", Stored: 1200, Lost: 2, Total: 1202, Breaches: 1,
		Broken: []reconcile.Breach{{Batch: "r/0000001", State: pipeline.Queued, Round: 3, Reason: "lost,\n awaiting reconcile"}}}
	const want = `
                     stored  1,200
                       dead      0
                    dropped      0
                  cancelled      0
                    planned      0
               on the queue      0
       results on their way      0
  dead letters on their way      0
                     moving      0
                       lost      2
                      total  1,202
r/0000001 (queued, round 3): lost, awaiting reconcile
`
	got := "\n" + Account(account)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if balanced := Account(reconcile.Account{Run: "r"}); !strings.HasSuffix(balanced, "every generation of run r is accounted for\n") {
		t.Errorf("a balanced account ends differently:\n%s", balanced)
	}
}

func TestABatchThatIsInProgressForTooLongIsNamedWithItsHolder(t *testing.T) {
	held := pipeline.HeldBatch{
		OverdueBatch: pipeline.OverdueBatch{Batch: 12, Seconds: 15000}, LaneID: pipeline.LaneID{Consumer: "01K", GPU: "GPU 0"}, Host: "box",
	}
	for what, said := range map[string]string{
		"audit":  Account(reconcile.Account{Run: "r", Overdue: []pipeline.HeldBatch{held}}),
		"status": Snapshot(status.Snapshot{Run: "r", Overdue: []pipeline.HeldBatch{held}}, 80),
	} {
		for _, part := range []string{"batch 12 is in progress for 4h10m", "with GPU 0 on box (consumer 01K)", "producer dead give-up --run r --batch 12 --yes"} {
			if !strings.Contains(said, part) {
				t.Errorf("%s does not say %q:\n%s", what, part, said)
			}
		}
	}
}

func TestAnAccountNamesCopiesOfFinishedBatches(t *testing.T) {
	account := reconcile.Account{Run: "r", OnResults: reconcile.Copies{Count: 12, Batches: strings.Split("a b c d e f g h i j k l", " ")}, OnDead: reconcile.Copies{Count: 1, Batches: []string{"r/0000001"}}}
	for _, want := range []string{
		"\n12 batches that are done still have answers on the stream of results, which the sink removes: a, b, c, d, e, f, g, h, i, j, …\n",
		"\n1 batch that is done still has dead letters, which `producer publish --run r --follow` removes: r/0000001\n",
	} {
		if got := Account(account); !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
