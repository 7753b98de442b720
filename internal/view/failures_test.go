package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
)

func testGroups() []failures.Group {
	return []failures.Group{
		{Class: pipeline.Unanswered, Cause: "N: the server \x1b[31manswers", Generations: 1204, Example: failures.Example{Generation: "r/000000012.000", Row: "q12", Message: "500: the server\nanswers"},
			Cure: failures.Cure{Help: "read the last error", Redrive: "producer dead redrive --run r --class unanswered"}},
		{Class: pipeline.BadItem, Cause: "the prompt has N tokens", Generations: 2, Example: failures.Example{Generation: "r/000000001.000", Message: "the prompt has 9 tokens"},
			Cure: failures.Cure{Help: "give the servers a larger context, which takes a number of words that is larger than a line is long", Redrive: "producer dead redrive --run r --class bad-item", Drop: "producer dead drop --run r --class bad-item --yes"}},
	}
}

func TestGroupsOfFailuresAreShownWithWhatHelps(t *testing.T) {
	const want = "1,204 unanswered: no answer\n"
	shown := Failures(testGroups(), 60)
	if !strings.HasPrefix(shown, want) || strings.Contains(shown, "\x1b") {
		t.Errorf("it begins with\n%q", shown)
	}
	_, rest, _ := strings.Cut(shown, "\n")
	if diff := cmp.Diff(`  such as r/000000012.000 (q12): 500: the server answers
  to do: read the last error
    producer dead redrive --run r --class unanswered
2 bad-item: refused as it is
  such as r/000000001.000: the prompt has 9 tokens
  to do: give the servers a larger context, which takes a
    number of words that is larger than a line is long
    producer dead redrive --run r --class bad-item
  or give them up:
    producer dead drop --run r --class bad-item --yes
`, rest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Failures(nil, 80); got != "" {
		t.Errorf("no failures are shown as %q", got)
	}
}
