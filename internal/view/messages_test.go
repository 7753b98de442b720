package view

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
)

func TestAPreviewShowsTheFirstPromptOnStandardError(t *testing.T) {
	var out, talk bytes.Buffer
	run := pipeline.Run{Name: "r", Items: 2, Generations: 6, Spec: pipeline.Spec{Model: "tiny", Samples: 3, Dataset: pipeline.DatasetID{Name: "a.jsonl"}}}
	Preview(&cli.Terminal{Out: &out, Err: &talk}, run, []pipeline.Message{{Role: pipeline.RoleSystem, Content: "Be brief.\nBe kind."}, {Role: pipeline.RoleUser, Content: "How many?\nSay a number."}}, "")
	want := strings.Join([]string{
		"run r: 2 rows of a.jsonl × 3 samples = 6 generations with model tiny",
		"system prompt (18 bytes):", "  │ Be brief.", "  │ Be kind.",
		"first prompt (23 bytes):", "  │ How many?", "  │ Say a number.", "",
	}, "\n")
	if diff := cmp.Diff(want, talk.String()); diff != "" || out.Len() > 0 {
		t.Errorf("%q on standard output; (-want +got):\n%s", out.String(), diff)
	}
}

func TestWhatHoldsForAllAnswersIsSaidOnce(t *testing.T) {
	a, b := strings.Repeat("0123456789abcdef", 4), "name\n2"
	answers := []pipeline.Answer{{Result: &pipeline.StoredResult{Engine: "ollama", Digest: a}}, {Result: &pipeline.StoredResult{}},
		{Result: &pipeline.StoredResult{Engine: "ollama", Digest: a}}, {Result: &pipeline.StoredResult{Engine: "other", Digest: b}}}
	want := "run r: model simulated/m, simulated: the answers are made up and mean nothing\ndigest " + a + " on ollama\ndigest name 2 on other\n\n"
	got := Answers(pipeline.Run{Name: "r", Spec: pipeline.Spec{Model: "simulated/m", Simulated: true}}, answers)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Answer("r", "", answers[0], pipeline.User("?"), 0); !strings.Contains(got, ", digest 0123456789ab\n") {
		t.Errorf("an answer does not show its digest as people know it: %s", got)
	}
}

func TestAnAnswerIsShownWithWhatWasAsked(t *testing.T) {
	answer := pipeline.Answer{Item: 7, Sample: 1, Result: &pipeline.StoredResult{GPU: "T4\n2", Result: pipeline.Result{Text: "42\n", OutputTokens: 9, ThinkingTokens: 5, DurationMS: 1200}}}
	got := Answer("r", "", answer, []pipeline.Message{{Role: pipeline.RoleSystem, Content: "Be brief."}, {Role: pipeline.RoleUser, Content: "How many?"}}, 0)
	want := "── r/000000007.001 ── 9 tokens (about 5 of them thinking) in 1.2s on T4 2\n  │ How many?\n42\n\n\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAChatIsShownTurnByTurn(t *testing.T) {
	chat := []pipeline.Message{
		{Role: pipeline.RoleUser, Content: "Is it warm?"},
		{Role: pipeline.RoleAssistant, ToolCalls: `[{"function":{"name":"weather"}}]`},
		{Role: pipeline.RoleTool, ToolName: "weather", Content: "21"},
		{Role: pipeline.RoleAssistant, Content: "It is"},
	}
	var talk strings.Builder
	Preview(&cli.Terminal{Out: io.Discard, Err: &talk}, pipeline.Run{Name: "r"}, chat, "[1]")
	_, got, _ := strings.Cut(talk.String(), "\n")
	want := "user (11 bytes):\n  │ Is it warm?\nassistant (33 bytes):\n  │ calls [{\"function\":{\"name\":\"weather\"}}]\ntool weather (9 bytes):\n  │ 21\nthe answer begins with (5 bytes):\n  │ It is\ntools (3 bytes):\n  │ [1]\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	answer := pipeline.Answer{Result: &pipeline.StoredResult{Result: pipeline.Result{Text: "It is warm."}}}
	if shown := Answer("r", "", answer, chat, 0); !strings.Contains(shown, "│ 21\nIt is warm.\n") {
		t.Errorf("got %s", shown)
	}
}

func TestAnAnswerIsShownWithTheUsersID(t *testing.T) {
	answer := pipeline.Answer{Item: 5, Result: &pipeline.StoredResult{}}
	if got := Answer("r", "a\nb", answer, pipeline.User("?"), 0); !strings.Contains(got, "── r/000000005.000 (a b) ──") {
		t.Errorf("got %q", got)
	}
}
