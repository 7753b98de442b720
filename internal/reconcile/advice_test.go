package reconcile

import (
	"strings"
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
		Stale:      "nothing: all its answers are stored; producer publish --run r --follow removes the letter, and so does " + redrive,
		Dropped:    "nothing: its batch was given up; producer publish --run r --follow removes the letter, and so does " + drop,
		Orphaned:   "nothing: remove the letter with producer dead drop --run r --batch 7 --orphaned --yes",
		Unreadable: "producer publish --run r --follow gives its batch another round if it needs one; remove the letter with producer dead drop --run r --batch 7 --orphaned --yes",
		Waiting:    "give the answer more room: " + redrive + " --num-predict 80",
	} {
		letter.Disposition = disposition
		if diff := cmp.Diff(want, letter.Advice()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", disposition, diff)
		}
	}
	letter.Run, letter.Disposition = "r; reboot", Unreadable // only the subject says so
	if got := letter.Advice(); strings.Contains(got, "reboot") || !strings.HasSuffix(got, "producer dead drop --orphaned --yes") {
		t.Errorf("it advises %q", got)
	}
	letter.Run, letter.Disposition = "r", Waiting
	logs := "look into the consumers' logs, then " + redrive
	for class, want := range map[pipeline.Class]string{
		pipeline.Degenerate:    "try another seed, or a temperature: " + redrive + " --seed 2",
		pipeline.Malformed:     "loosen the schema or use a larger model in a new run, or try another seed: " + redrive + " --seed 2",
		pipeline.BadItem:       "it fails again as it is: give the servers a larger context and then " + redrive + ", or give it up: " + drop,
		pipeline.Poison:        "update the servers and then " + redrive + ", or give it up: " + drop,
		pipeline.TooLarge:      "raise max_payload of the NATS server, or shorten the rows or their answers and then " + redrive + ", or give it up: " + drop,
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

// The letter knows how much room is missing, and whether another GPU tries it by itself.
func TestMoreRoomIsNoAdviceForAnAnswerThatDoesNotEnd(t *testing.T) {
	l := Letter{Disposition: Waiting}
	l.Class, l.Options.NumPredict = pipeline.Truncated, 64
	l.Failures = []pipeline.GenerationFailure{{Class: pipeline.Truncated, Endless: true}, {Class: pipeline.Truncated}}
	if got := l.Advice(); !strings.Contains(got, "--num-predict 256") {
		t.Errorf("one of two ends: %s", got)
	}
	l.Failures[1].Endless = true
	if got := l.Advice(); strings.Contains(got, "--num-predict") || !strings.Contains(got, "--seed 2") {
		t.Errorf("none ends: %s", got)
	}
}

func TestTheAdviceNamesTheContextAndTheSecondOpinion(t *testing.T) {
	const redrive, drop = "producer dead redrive --run r --batch 7", "producer dead drop --run r --batch 7 --yes"
	const alone = "nothing while producer publish --run r --follow runs and another GPU could do better, which then tries it by itself; else "
	letter := func(f pipeline.GenerationFailure) Letter {
		return Letter{Disposition: Waiting, StoredDeadLetter: pipeline.StoredDeadLetter{DeadLetter: pipeline.DeadLetter{
			Run: "r", Batch: 7, Class: f.Class, Options: pipeline.Options{NumPredict: 20}, Failures: []pipeline.GenerationFailure{f},
		}}}
	}
	crowded := letter(pipeline.GenerationFailure{Class: pipeline.TooLarge, Crowded: true})
	if want := "nothing while producer publish --run r --follow runs, which gives it another round by itself; else " + redrive; crowded.Advice() != want {
		t.Errorf("it advises %q", crowded.Advice())
	}
	large := letter(pipeline.GenerationFailure{Class: pipeline.BadItem, Exceeds: true, Context: 512, Needs: 700})
	judged := large
	judged.Now.Opinions = pipeline.MaxOpinions
	const room = "give the servers a context of 700 tokens or more (--num-ctx, OLLAMA_CONTEXT_LENGTH) and then " + redrive + ", or give it up: " + drop
	for want, l := range map[string]Letter{
		alone + room: large,
		room:         judged,
		alone + "read the last error: the server fails with this prompt and with no other, then " + redrive: letter(pipeline.GenerationFailure{Class: pipeline.Unanswered}),
		alone + "give the answer more room: " + redrive + " --num-predict 80":                               letter(pipeline.GenerationFailure{Class: pipeline.Truncated, Outcome: 3}),
		"give the answer more room: " + redrive + " --num-predict 80":                                       letter(pipeline.GenerationFailure{Class: pipeline.Truncated}), // of an earlier version
	} {
		if diff := cmp.Diff(want, l.Advice()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
