package view

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
)

func testLetter() reconcile.Letter {
	temperature := 0.3
	message := "generate with model sim on http://gpu:11434: the answer was cut off\nafter 40 tokens"
	letter := reconcile.Letter{Disposition: reconcile.Waiting}
	letter.DeadLetter = pipeline.DeadLetter{
		Run: "r", Batch: 7, Round: 2, Class: pipeline.Truncated, Message: message, Deliveries: 3, Consumer: "01J", GPU: "T4",
		Model: "sim", Shared: []pipeline.Message{{Role: pipeline.RoleSystem, Content: "Be brief."}}, Options: pipeline.Options{NumPredict: 20, Temperature: &temperature}, FailedAt: time.Now().Add(-90 * time.Minute),
		Failures: []pipeline.GenerationFailure{{
			Generation: pipeline.Generation{Index: 1, Item: 8, Sample: 1, Seed: 99, Messages: pipeline.User("Why?\nSay.")}, Class: pipeline.Truncated, Message: message, Attempts: 2,
		}},
	}
	return letter
}

func TestAShownLetterHasAllThatIsKnownAndWhatToDo(t *testing.T) {
	shown := Letter(testLetter(), 120)
	for _, part := range []string{
		"r/0000007", "truncated, round 2, waiting", "1h30m0s ago", "3 times", "01J on T4", "sim, temperature 0.3, num-predict 20", "Be brief.", "r/000000008.001, seed 99",
		"after 2 tries", "the answer was cut off", "  │ Say.", "producer dead redrive --run r --batch 7 --num-predict 80",
	} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is missing in:\n%s", part, shown)
		}
	}
}

func TestTheEndOfACutAnswerIsShown(t *testing.T) {
	letter := testLetter()
	letter.Failures[0].Text = strings.Repeat("1\n", 5000) + "one\ntwo\nthree\nfour\nfive\nsix\n"
	shown := Letter(letter, 120)
	want := "    its answer has 10,028 bytes so far, and ends with:\n  │ one\n  │ two\n  │ three\n  │ four\n  │ five\n  │ six\n"
	if !strings.HasSuffix(shown, want) {
		t.Errorf("it does not end with\n%s\nbut is\n%s", want, shown)
	}
	letter.Failures[0].Text = strings.Repeat("é", 5000)
	if shown := Letter(letter, 120); !strings.Contains(shown, "10,000 bytes") || strings.Count(shown, "é") > endBytes/2 || !strings.Contains(shown, "…é") {
		t.Errorf("a text of one line is shown as\n%s", shown)
	}
	data, err := json.Marshal(letter)
	if err != nil || !strings.Contains(string(data), `"text":"`+letter.Failures[0].Text+`"`) {
		t.Errorf("the text is not in the letter as JSON: %.300s, %v", data, err)
	}
}

func TestAMessageInATableBeginsWithWhatHappened(t *testing.T) {
	letter := testLetter()
	got := []string{brief(letter)}
	letter.Message = "the durable: gone"
	got = append(got, brief(letter))
	letter.Message = "tried 3 times in 2s while the model answered others, the last time: generate with model sim on http://gpu:11434: 500: broken"
	got = append(got, brief(letter))
	letter.Message = strings.Repeat("x", 999)
	got = append(got, brief(letter))
	want := []string{"the answer was cut off after 40 tokens", "the durable: gone", "500: broken", strings.Repeat("x", mostMessage-1) + "…"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALetterNamesItsRowsAsTheUserDoes(t *testing.T) {
	letter := testLetter()
	letter.Rows = map[int]string{8: "q8"}
	if shown := Letter(letter, 120); !strings.Contains(shown, "r/000000008.001 (q8), seed 99") {
		t.Errorf("it is shown as\n%s", shown)
	}
	if got := brief(letter); !strings.HasPrefix(got, "q8: the answer was cut off") {
		t.Errorf("in a table it is %q", got)
	}
	letter.Failures = append(letter.Failures, pipeline.GenerationFailure{Generation: pipeline.Generation{Item: 9}})
	letter.Rows[9] = "q9"
	if got := brief(letter); !strings.HasPrefix(got, "q8 and 1 more: the answer") {
		t.Errorf("with two rows it is %q", got)
	}
}
