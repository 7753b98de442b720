package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
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
