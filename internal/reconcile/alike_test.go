package reconcile

import (
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

func TestARedriveThatAsksForTheSameIsKnown(t *testing.T) {
	letter := Letter{Disposition: Waiting}
	letter.Run, letter.Class, letter.Options = "r", pipeline.Truncated, pipeline.Options{NumPredict: 128}
	letter.Owner.Spec.Options = letter.Options
	letter.Failures = []pipeline.GenerationFailure{{Generation: pipeline.Generation{Seed: pipeline.Seed(0, "r/000000000.000")}, Class: pipeline.Truncated}}
	seed := 2
	for name, c := range map[string]struct {
		options RedriveOptions
		want    bool
	}{
		"without options": {RedriveOptions{}, true},
		"with the same":   {RedriveOptions{Options: pipeline.Options{NumPredict: 128}}, true},
		"with more room":  {RedriveOptions{Options: pipeline.Options{NumPredict: 512}}, false},
		"with a seed":     {RedriveOptions{Seed: &seed}, false},
	} {
		if got := c.options.alike(letter); got != c.want {
			t.Errorf("%s: alike is %t", name, got)
		}
	}
	if got := sayAlike(letter); !strings.Contains(got, "num-predict 128") || !strings.Contains(got, "dead redrive --run r --class truncated --num-predict 512") {
		t.Errorf("it says %q", got)
	}
	full := letter
	full.Failures = []pipeline.GenerationFailure{{Generation: letter.Failures[0].Generation, Class: pipeline.Truncated, Exceeds: true}}
	if (RedriveOptions{}).alike(full) { // another server may have the context
		t.Error("what did not fit ends alike")
	}
	letter.Class = pipeline.Unanswered
	if (RedriveOptions{}).alike(letter) {
		t.Error("what no one answered ends alike")
	}
}
