package view

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
)

func TestAPreviewShowsTheFirstPromptOnStandardError(t *testing.T) {
	var out, talk bytes.Buffer
	run := pipeline.Run{Name: "r", Items: 2, Generations: 6, Spec: pipeline.Spec{Model: "tiny", Samples: 3, Dataset: pipeline.Dataset{Name: "a.jsonl"}}}
	Preview(&cli.Terminal{Out: &out, Err: &talk}, run, []pipeline.Message{{Role: pipeline.RoleSystem, Content: "Be brief.\nBe kind."}, {Role: pipeline.RoleUser, Content: "How many?\nSay a number."}})
	want := strings.Join([]string{
		"run r: 2 rows of a.jsonl × 3 samples = 6 generations with model tiny",
		"system prompt (18 bytes):", "  │ Be brief.", "  │ Be kind.",
		"first prompt (23 bytes):", "  │ How many?", "  │ Say a number.", "",
	}, "\n")
	if diff := cmp.Diff(want, talk.String()); diff != "" || out.Len() > 0 {
		t.Errorf("%q on standard output; (-want +got):\n%s", out.String(), diff)
	}
}
