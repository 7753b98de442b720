package export

import (
	"strings"
	"testing"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

func TestAnAnswerSaysToWhichOfTheUsersRowsItBelongs(t *testing.T) {
	run := testRun()
	run.Spec.Prompt, run.Spec.Field, run.Spec.ID = "", "q", "meta.id"
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		t.Fatal(err)
	}
	a := answered([]string{`{"q": "2+2?", "meta": {"id": "a/7"}, "custom_id": "c"}`}, "4")[0]
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, `"gleaner": {"id":"r/000000000.000","row":"a/7","model":"m"`},
		{Config{Provenance: ProvenanceFlat}, `"gleaner_id": "r/000000000.000", "gleaner_row": "a/7", "gleaner_model": "m"`},
		{Config{Layout: LayoutChat}, `"row":"a/7"`},
		{Config{Layout: LayoutOpenAIBatch}, `"custom_id": "a/7"`},
	} {
		if got := line(t, run, c.config, renderer, a); !strings.Contains(got, c.want) {
			t.Errorf("%+v: it is not there: %s\n%s", c.config, c.want, got)
		}
	}
	run.Spec.ID = ""
	if got := line(t, run, Config{Provenance: ProvenanceFlat}, asked{question: "?"}, a); strings.Contains(got, "gleaner_row") {
		t.Errorf("a run that names no column for the id has one: %s", got)
	}
}

func TestARowWithoutItsIDIsNamed(t *testing.T) {
	run := testRun()
	run.Spec.ID = "id"
	renderer, err := prompt.New(pipeline.Spec{Field: "q", ID: "id"})
	if err != nil {
		t.Fatal(err)
	}
	config, names := settled(t, run, Config{}, `{"q": "?"}`)
	encoder, err := NewEncoder(run, config, names, renderer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encoder.Line(answered([]string{`{"q": "?"}`}, "4")[0]); err == nil || !strings.Contains(err.Error(), "item r/000000000") {
		t.Errorf("got %v", err)
	}
}
