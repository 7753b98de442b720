package view

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
)

func testLetter() reconcile.Letter {
	temperature := 0.3
	message := "generate with model sim on http://gpu:11434: the answer was cut off\n\x1b[2Jafter 40 tokens"
	letter := reconcile.Letter{Disposition: reconcile.Waiting}
	letter.DeadLetter = pipeline.DeadLetter{
		Run: "r", Batch: 7, Round: 2, Class: pipeline.Truncated, Message: message, Deliveries: 3, Consumer: "01J", GPU: "T4",
		Model: "sim", Shared: []pipeline.Message{{Role: pipeline.RoleSystem, Content: "Be brief."}}, Options: pipeline.Options{NumPredict: 20, Temperature: &temperature}, FailedAt: time.Now().Add(-90 * time.Minute),
		Failures: []pipeline.GenerationFailure{{
			Generation: pipeline.Generation{Index: 1, Item: 8, Sample: 1, Seed: 99, Messages: pipeline.User("Why\x07?\nSay.")}, Class: pipeline.Truncated, Message: message, Attempts: 2,
		}},
	}
	return letter
}

func TestAShownLetterHasAllThatIsKnownAndWhatToDo(t *testing.T) {
	shown := Letter(testLetter())
	for _, part := range []string{
		"r/0000007", "truncated, round 2, waiting", "1h30m0s ago", "3 times", "01J on T4", "sim, num-predict 20, temperature 0.3", "Be brief.", "r/000000008.001, seed 99",
		"after 2 tries", "the answer was cut off", "  │ Say.", "producer dead redrive --run r --batch 7 --num-predict 80",
	} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is missing in:\n%s", part, shown)
		}
	}
	if strings.ContainsAny(shown, "\x1b\x07") {
		t.Errorf("it commands the terminal: %q", shown)
	}
}

func TestAMessageInATableBeginsWithWhatHappened(t *testing.T) {
	letter := testLetter()
	got := []string{brief(letter, 100), brief(letter, 0)}
	letter.Message = "the durable: gone"
	got = append(got, brief(letter, 100))
	want := []string{"the answer was cut off \uFFFD[2Jafter 40 tokens", "the answer was cut …", "the durable: gone"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
