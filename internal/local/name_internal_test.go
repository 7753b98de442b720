package local

import (
	"testing"

	"gleaner/internal/pipeline"
)

// The name is made of what decides the answers, and stays the same from version to version.
func TestTheNameOfARunIsMadeOfWhatDecidesItsAnswers(t *testing.T) {
	spec := pipeline.Spec{Model: "m", Field: "q", Samples: 1, Batch: 1, Options: pipeline.Options{NumPredict: 2048}, Dataset: pipeline.DatasetID{Name: "Train set.jsonl", Digest: "d"}}
	const want = "train-set-4b762ee9"
	name := RunName(spec)
	spec.Dataset.Columns, spec.Dataset.Files, spec.Dataset.Name = []string{"q", "response"}, []string{"00ff"}, "train-set.csv"
	if got := RunName(spec); got != name {
		t.Errorf("with columns it is %s, and without %s", got, name)
	}
	if name != want {
		t.Errorf("it is %s, and earlier versions made %s", name, want)
	}
	spec.Dataset.Nulled = 3 // earlier versions did not count them
	if got := RunName(spec); got != name {
		t.Errorf("with a count it is %s, and without %s", got, name)
	}
	if spec.ID = "qid"; RunName(spec) == name {
		t.Error("another column of ids gives the same run")
	}
}
