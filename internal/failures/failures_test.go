package failures

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestACauseIsAMessageWithoutWhatDiffers(t *testing.T) {
	for message, want := range map[string]string{
		"generate with model sim on http://gpu:11434: the answer was cut off after 40 tokens, with --num-predict 20": "the answer was cut off after N tokens, with --num-predict N",
		"tried 3 times in 2.5s, the last time: generate with model m on http://10.0.0.7:11434: 500: broken":          "N: broken",
		"dial tcp 127.0.0.1:11434: connection refused":                                                               "dial tcp ADDRESS: connection refused",
		"dial tcp [::1]:11434: connection refused":                                                                   "dial tcp ADDRESS: connection refused",
		"lookup gpu-7.example.org:4222 failed":                                                                       "lookup ADDRESS failed",
		"item my-run/000000012 of batch my-run/0000003":                                                              "item ID of batch ID",
		"generation r/000000012.003 has none":                                                                        "generation ID has none",
		"consumer 01K2ZJ8YV3M4N5P6Q7R8S9T0AB went":                                                                   "consumer ID went",
		"it is of digest " + strings.Repeat("ab12", 16):                                                              "it is of digest ID",
		`the server ended it after "na na \" na" came 30 times in a row`:                                             "the server ended it after … came N times in a row",
		"the answer, 88 % of it thinking,\n was cut off":                                                             "the answer, N % of it thinking, was cut off",
		"the answer does not fit the schema: at '/answer': missing property 'sum'":                                   "the answer does not fit the schema: at '/answer': missing property 'sum'",
		"":                        "",
		"a\x1b[31mred\x1b[0m one": Cause("a\x1b[31mred\x1b[0m one"),
	} {
		if got := Cause(message); got != want || strings.Contains(got, "\x1b") {
			t.Errorf("the cause of %q is %q, want %q", message, got, want)
		}
	}
	if got := Cause(strings.Repeat("word ", 1e5)); len([]rune(got)) > mostCause {
		t.Errorf("a long message has a cause of %d characters", len([]rune(got)))
	}
}

func letter(batch int, class pipeline.Class, messages ...string) pipeline.DeadLetter {
	d := pipeline.DeadLetter{Run: "r", Batch: batch, Class: class, Options: pipeline.Options{NumPredict: 128}}
	for i, message := range messages {
		d.Failures = append(d.Failures, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Index: i, Item: 8*batch + i}, Class: class, Message: message,
		})
	}
	return d
}

func TestFailuresOfOneCauseAreOneGroup(t *testing.T) {
	var g Groups
	g.Add(letter(0, pipeline.Truncated, "cut off after 256 tokens", "cut off after 255 tokens"))
	g.Add(letter(1, pipeline.Unanswered, "500: no"))
	g.Add(letter(2, pipeline.Truncated, "cut off after 9 tokens"))
	want := []Group{
		{Class: pipeline.Truncated, Cause: "cut off after N tokens", Generations: 3, Batches: 2, Example: Example{Run: "r", Generation: "r/000000000.000", Message: "cut off after 256 tokens"},
			Cure: Cure{"give the answer more room", "producer dead redrive --run r --class truncated --num-predict 512", "", ": "}},
		{Class: pipeline.Unanswered, Cause: "N: no", Generations: 1, Batches: 1, Example: Example{Run: "r", Batch: 1, Item: 8, Generation: "r/000000008.000", Message: "500: no"},
			Cure: Cure{"read the last error: the server fails with this prompt and with no other", "producer dead redrive --run r --class unanswered", "", ", then "}},
	}
	if diff := cmp.Diff(want, g.List()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	g = Groups{}
	g.Add(letter(0, pipeline.Truncated, "cut"), pipeline.Poison)
	if got := g.List(); len(got) > 0 {
		t.Errorf("of another class there is %v", got)
	}
}

// A dataset may fail in as many ways as it has rows.
func TestGroupsStayFewWhateverFails(t *testing.T) {
	var g Groups
	for i := range 500 {
		word := strings.Repeat("x", i%100+1)
		g.Add(letter(i, pipeline.Malformed, "no field "+word))
		g.Add(letter(i, pipeline.Class("new-"+word), "no field "+word))
	}
	groups, sum := g.List(), 0
	for _, group := range groups {
		sum += group.Generations
	}
	if most := mostGroups + len(pipeline.Classes()); len(groups) > most || sum != 1000 {
		t.Errorf("%d groups with %d generations", len(groups), sum)
	}
}

func TestEachCureKnowsWhatWasTried(t *testing.T) {
	seeded := letter(0, pipeline.Degenerate, "it repeats itself")
	seeded.Failures[0].Seed = pipeline.Seed(2, "r/000000000.000")
	full := letter(0, pipeline.Truncated, "cut off")
	full.Failures[0].Exceeds, full.Failures[0].Needs = true, 5000
	endless := letter(0, pipeline.Truncated, "it goes on and on")
	endless.Failures[0].Endless = true
	for _, c := range []struct {
		letter pipeline.DeadLetter
		want   []string
	}{
		{letter(0, pipeline.Degenerate, "it repeats itself"), []string{"--class degenerate --seed 2"}},
		{seeded, []string{"--class degenerate --seed 3"}},
		{full, []string{"a context of 5000 tokens", "OLLAMA_CONTEXT_LENGTH", "dead drop --run r --class truncated --yes"}},
		{endless, []string{"does not end", "--seed 2", "dead drop"}},
		{letter(0, pipeline.Malformed, "no"), []string{"schema", "--seed 2"}},
		{letter(0, pipeline.BadItem, "no"), []string{"larger context", "dead drop --run r --class bad-item --yes"}},
		{letter(0, pipeline.Poison, "no"), []string{"update the servers", "dead drop"}},
		{letter(0, pipeline.TooLarge, "no"), []string{"max_payload", "dead drop"}},
		{letter(0, pipeline.Undeliverable, "no"), []string{"consumers' logs", "dead redrive --run r --class undeliverable"}},
		{letter(0, "made-up", "no"), []string{"consumers' logs", "dead redrive --run r"}},
	} {
		var g Groups
		g.Add(c.letter)
		got := g.List()[0].Cure.Sentence()
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%q is missing in what helps %s: %s", part, c.letter.Class, got)
			}
		}
	}
	if got := MoreRoom(pipeline.MaxNumPredict / 2); got != pipeline.MaxNumPredict {
		t.Errorf("there is more room than there may be: %s", fmt.Sprint(got))
	}
}
