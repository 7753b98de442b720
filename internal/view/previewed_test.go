package view

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func previewed(text string) Previewed {
	return Previewed{
		Row: 1200, File: "a\n.jsonl", Line: 7,
		Request: ShowRequest(pipeline.Request{
			Messages: []pipeline.Message{
				{Role: pipeline.RoleSystem, Content: "Be brief."}, {Role: pipeline.RoleUser, Content: text},
				{Role: pipeline.RoleAssistant, ToolCalls: `[{"id":"c"}]`}, {Role: pipeline.RoleTool, ToolName: "a_long_name", Content: "42"},
				{Role: pipeline.RoleAssistant, Content: "Well"},
			},
			Tools: `[{"type":"function"}]`,
		}),
		Reference: "It is 42.",
		Answer:    RepliedOf(pipeline.Completion{Text: "Well, 42.", Reasoning: "Hm.", PromptTokens: 1234, OutputTokens: 1, ThinkingTokens: 1, Duration: 1500 * time.Millisecond, Finish: pipeline.FinishStop}, "", nil),
	}
}

func TestAPreviewedRowIsShownInPartsThatFit(t *testing.T) {
	got := PreviewStyle{Columns: 40, Rows: 5000}.Show(previewed("How much is it, and why is it so?\n\tSay both."))
	want := `── row 1,200 of 5,000 ── a .jsonl, line 7
system    │ Be brief.
user      │ How much is it, and why is
          │ it so?
          │     Say both.
calls     │ [{"id":"c"}]
tool a_l… │ 42
begins    │ Well
tools     │ [{"type":"function"}]
reference │ It is 42.
thinking  │ Hm.
answer    │ Well, 42.
            ended by itself, 1.5s, 1,234
            tokens in, 1 out (about 1 of
            them thinking)

`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatCallsToolsShowsTheCalls(t *testing.T) {
	calls := pipeline.JSON(`[{"id":"c1","function":{"name":"add","arguments":{"a":1}}}]`)
	row := previewed("q")
	row.Answer = RepliedOf(pipeline.Completion{Text: pipeline.CallText("Let me see.", calls)}, `[{"type":"function"}]`, nil)
	if got := (PreviewStyle{Columns: 100}).Show(row); !strings.Contains(got, "answer    │ Let me see.\nanswer    │ calls "+string(calls)+"\n") {
		t.Errorf("it shows\n%s", got)
	}
}

func TestALongTextIsCutAndSaysByHowMuch(t *testing.T) {
	row := previewed(strings.Repeat("line\n", 40))
	cut := PreviewStyle{Columns: 80}.Show(row)
	if want := "          │ … 28 lines more, of 200 bytes in all: --full shows them\n"; strings.Count(cut, "line\n") != 12 || !strings.Contains(cut, want) {
		t.Errorf("it is cut otherwise:\n%s", cut)
	}
	if full := (PreviewStyle{Columns: 80, Full: true}).Show(row); strings.Count(full, "line\n") != 40 || strings.Contains(full, "--full") {
		t.Errorf("it is cut all the same:\n%s", full)
	}
	if row := (PreviewStyle{Columns: 80}.Show(previewed(strings.Repeat("line\n", 13)))); strings.Contains(row, "--full") {
		t.Errorf("one line too many is cut, which saves nothing:\n%s", row)
	}
}

func TestAFailureIsSaidInWordsWithWhatARunWouldDo(t *testing.T) {
	row := previewed("q")
	row.Answer = RepliedOf(pipeline.Completion{Text: "so", OutputTokens: 5}, "", pipeline.Fail(pipeline.Truncated, "generate with model m on http://h: it was cut off after 5 tokens"))
	got := PreviewStyle{Columns: 100}.Show(row)
	for _, want := range []string{
		"so far    │ so\n", "NO ANSWER │ it was cut off after 5 tokens (a run tries once more, with twice the tokens)\n", "            truncated: cut off, 5 out\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if end := PreviewEnd([]Previewed{row}); end != "no row is answered\n" {
		t.Error(end)
	}
	if end := PreviewEnd([]Previewed{row, previewed("q")}); end != "1 of 2 answered; on average 1.5s, 1,234 tokens in and 1 out\n" {
		t.Error(end)
	}
}
