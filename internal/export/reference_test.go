package export

import (
	"strings"
	"testing"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

func TestTheAnswerThatARowHadIsKeptAsItsReference(t *testing.T) {
	run := testRun()
	run.Spec.Prompt, run.Spec.Field, run.Spec.Chats = "", "messages", true
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		t.Fatal(err)
	}
	const row = `{"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}`
	for _, layout := range []string{LayoutRows, LayoutChat, LayoutShareGPT, LayoutAlpaca, LayoutPromptCompletion} {
		if got := line(t, run, Config{Layout: layout, Provenance: ProvenanceNone}, renderer, answered([]string{row}, "four")[0]); !strings.Contains(got, `"reference": "4"`) {
			t.Errorf("%s: %s", layout, got)
		}
	}
	for name, c := range map[string]struct{ row, want, not string }{
		"a row without an answer":         {`{"messages": [{"role": "user", "content": "2+2?"}]}`, `"four"`, "reference"},
		"a row with a column of its name": {strings.TrimSuffix(row, "}") + `, "reference": "IV"}`, `"reference_2": "4"`, `"reference": "4"`},
	} {
		got := line(t, run, Config{Provenance: ProvenanceNone}, renderer, answered([]string{c.row}, "four")[0])
		if !strings.Contains(got, c.want) || strings.Contains(got, c.not) {
			t.Errorf("%s: %s", name, got)
		}
	}
	texts, err := Config{}.For(pipeline.Spec{Field: "q"})
	if names := texts.layoutColumns(); err != nil || strings.Contains(strings.Join(names, " "), "reference") {
		t.Errorf("a run of texts has %v", names)
	}
}
