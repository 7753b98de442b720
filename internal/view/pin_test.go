package view

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

func TestAPinSaysWhatItChangesAndWhatStays(t *testing.T) {
	stored := []pipeline.DigestCount{{Engine: "ollama", Digest: "aaa", Answers: 1200}, {Answers: 1}}
	for _, c := range []struct {
		report producer.PinReport
		want   string
	}{
		{producer.PinReport{Run: "r", Now: "aaa"}, "run r is pinned to aaa; before it was not pinned\nno answer is stored yet\n"},
		{producer.PinReport{Run: "r", Before: "aaa", Now: "any", Stored: stored},
			"run r is pinned to any digest; before it was pinned to aaa\n" +
				"1,200 answers are stored of aaa on ollama\n1 answer is stored of no known digest, from consumers of an earlier version\n"},
		{producer.PinReport{Run: "r", Before: "bbb", Now: "bbb", Stored: stored[:1], Untold: "away\nor not"},
			"run r is pinned to bbb, as it was before\n1,200 answers are stored of aaa on ollama\n" +
				"1,200 answers are of another digest or without one: what is stored stays, and gleaner.digest in each line of the export says which is which. " +
				"For answers of one digest alone, load the rows under another name.\n" +
				"NATS could not be asked (away or not), so the consumers are told by the process that follows the run: `producer publish --run r --follow`\n"},
	} {
		if diff := cmp.Diff(c.want, Pinned(c.report)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestSeveralDigestsOfOneEngineAreNamed(t *testing.T) {
	one := []pipeline.DigestCount{{Engine: "ollama", Digest: "aaa", Answers: 5}, {Engine: "openai", Digest: "name", Answers: 4}, {Answers: 3}}
	if got := Digests(pipeline.Run{Name: "r"}, one); strings.Contains(got, "several") || strings.Count(got, "\n") != 3 {
		t.Errorf("one digest for each engine: %s", got)
	}
	two := append(one, pipeline.DigestCount{Engine: "ollama", Digest: "bbb", Answers: 1})
	if got := Digests(pipeline.Run{Name: "r"}, two); !strings.Contains(got, "run r are of several digests") || !strings.Contains(got, "1 answer is stored of bbb on ollama") {
		t.Errorf("two digests: %s", got)
	}
	if got := Digests(pipeline.Run{Name: "r"}, nil); got != "" {
		t.Errorf("no answers: %s", got)
	}
}
