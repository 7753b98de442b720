package local

import (
	"testing"

	"gleaner/internal/pipeline"
)

// Earlier versions did not count the numbers that were read as null: a run of theirs goes on.
func TestWhatIsOnlyCountedIsNoPartOfTheDerivedName(t *testing.T) {
	spec := pipeline.Spec{Model: "m", Field: "q", Dataset: pipeline.DatasetID{Name: "a.jsonl", Digest: "d"}}
	name := runName(spec)
	spec.Dataset.Nulled = 3
	if got := runName(spec); got != name {
		t.Errorf("%s became %s", name, got)
	}
	if spec.ID = "qid"; runName(spec) == name {
		t.Error("another column of ids gives the same run")
	}
}
