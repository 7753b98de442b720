package outage

import (
	"errors"
	"testing"

	"gleaner/internal/pipeline"
)

func TestARefusalEndsOnlyWhatNeverWorked(t *testing.T) {
	refused := pipeline.Fail(pipeline.Fatal, "credentials refused")
	for name, c := range map[string]struct {
		err           error
		before, after bool // it ends, before the server has worked and after that
	}{
		"an outage":           {pipeline.Fail(pipeline.Retryable, "away"), false, false},
		"a refusal":           {refused, true, false},
		"the run is gone":     {pipeline.Fail(pipeline.Fatal, "%w", pipeline.ErrNoRun), true, true},
		"a row that is wrong": {pipeline.Fail(pipeline.BadItem, "too long"), true, true},
		"something else":      {errors.New("a bug"), true, true},
	} {
		var trust Trust
		if got := trust.Ends(c.err); got != c.before {
			t.Errorf("%s, first: %v", name, got)
		}
		if trust.Ends(nil) {
			t.Error("success ends it")
		}
		if got := trust.Ends(c.err); got != c.after {
			t.Errorf("%s, later: %v", name, got)
		}
	}
}
