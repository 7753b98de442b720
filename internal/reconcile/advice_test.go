package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestEachDispositionAndClassHasAnAdvice(t *testing.T) {
	const redrive, drop = "producer dead redrive --run r --batch 7", "producer dead drop --run r --batch 7 --yes"
	letter := Letter{StoredDeadLetter: pipeline.StoredDeadLetter{DeadLetter: pipeline.DeadLetter{
		Run: "r", Batch: 7, Class: pipeline.Truncated, Options: pipeline.Options{NumPredict: 20},
	}}}
	for disposition, want := range map[Disposition]string{
		UnderWay:   "nothing: its batch is on the way again, or the sink has not read this letter yet",
		Stale:      "nothing: all its answers are stored; producer publish --follow removes the letter, and so does " + redrive,
		Dropped:    "nothing: remove the letter with " + drop,
		Orphaned:   "nothing: remove the letter with " + drop,
		Unreadable: "producer publish --follow gives its batch another round if it needs one; remove the letter with " + drop,
		Waiting:    "give the answer more room: " + redrive + " --num-predict 80",
	} {
		letter.Disposition = disposition
		if diff := cmp.Diff(want, letter.Advice()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", disposition, diff)
		}
	}
	letter.Disposition = Waiting
	logs := "look into the consumers' logs, then " + redrive
	for class, want := range map[pipeline.Class]string{
		pipeline.Degenerate:    "try another seed, or a temperature: " + redrive + " --seed 2",
		pipeline.BadItem:       "it fails again as it is: give the servers a larger context and then " + redrive + ", or give it up: " + drop,
		pipeline.Poison:        "it crashes the model's runner: update the servers and then " + redrive + ", or give it up: " + drop,
		pipeline.Undeliverable: logs,
		pipeline.Retryable:     logs,
		pipeline.Fatal:         logs,
		"made-up":              logs,
	} {
		letter.Class = class
		if diff := cmp.Diff(want, letter.Advice()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", class, diff)
		}
	}
	letter.Class, letter.Options.NumPredict = pipeline.Truncated, pipeline.MaxNumPredict/2
	if want := redrive + " --num-predict 131072"; letter.Advice() != "give the answer more room: "+want {
		t.Errorf("there is more room than there may be: %s", letter.Advice())
	}
}
