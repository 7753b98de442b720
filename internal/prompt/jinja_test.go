package prompt

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func requestOf(t *testing.T, spec pipeline.Spec, row string) (pipeline.Rendered, error) {
	t.Helper()
	r, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r.Request([]byte(row))
}

func said(role pipeline.Role, content string) pipeline.Message {
	return pipeline.Message{Role: role, Content: content}
}

func TestARequestIsMadeFromTemplatesOfJinja(t *testing.T) {
	const row = `{"question": "2+2?", "lang": "French", "n": 1.50}`
	for name, c := range map[string]struct {
		spec   pipeline.Spec
		shared int
		want   []pipeline.Message
	}{
		"a prompt": {pipeline.Spec{Prompt: "Q: {{ question }} ({{ n }})"}, 0, pipeline.User("Q: 2+2? (1.50)")},
		"a system prompt that is the same for all": {pipeline.Spec{Prompt: "{{ question }}", System: "Be {{ 'brief' }}."}, 1,
			[]pipeline.Message{said("system", "Be brief."), said("user", "2+2?")}},
		"a system prompt of the row": {pipeline.Spec{Prompt: "{{ question }}", System: "Answer in {{ lang }}."}, 0,
			[]pipeline.Message{said("system", "Answer in French."), said("user", "2+2?")}},
		"a system prompt that is nothing for the row": {pipeline.Spec{Prompt: "{{ question }}", System: "{{ persona or '' }}"}, 0, pipeline.User("2+2?")},
		"a variable": {pipeline.Spec{Prompt: "{{ shots[0] }} {{ question }}", Vars: map[string]json.RawMessage{"shots": json.RawMessage(`["1+1=2"]`)}}, 0, pipeline.User("1+1=2 2+2?")},
		"a prefill": {pipeline.Spec{Prompt: "{{ question }}", Prefill: "It is"}, 0,
			[]pipeline.Message{said("user", "2+2?"), said("assistant", "It is")}},
		"a field and a system prompt of the row": {pipeline.Spec{Field: "question", System: "Answer in {{ lang }}."}, 0,
			[]pipeline.Message{said("system", "Answer in French."), said("user", "2+2?")}},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Language = pipeline.Jinja
			r, err := New(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Request([]byte(row))
			if diff := cmp.Diff(c.want, got.Messages); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if diff := cmp.Diff(c.want[:c.shared], r.Shared()); len(r.Shared()) != c.shared || c.shared > 0 && diff != "" {
				t.Errorf("shared (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAColumnMayHoldAChat(t *testing.T) {
	const tools = `[{"type":"function","function":{"name":"add"}}]`
	const row = `{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"},{"from":"human","value":"2+2?"},{"from":"gpt","value":"4"}],"tools":` + tools + `}`
	got, err := requestOf(t, pipeline.Spec{Field: "conversations", Chats: true, System: "Be brief."}, row)
	want := []pipeline.Message{said("system", "Be brief."), said("user", "Hi"), said("assistant", "Hello"), said("user", "2+2?")}
	if diff := cmp.Diff(want, got.Messages); err != nil || diff != "" || got.Reference != "4" || !strings.Contains(string(got.Tools), "add") {
		t.Errorf("%v, reference %q, tools %s (-want +got):\n%s", err, got.Reference, got.Tools, diff)
	}
	own := `{"m":{"messages":[{"role":"system","content":"Mine."},{"role":"user","content":"x"}]}}`
	got, err = requestOf(t, pipeline.Spec{Field: "m.messages", Chats: true, System: "Be brief."}, own)
	if diff := cmp.Diff([]pipeline.Message{said("system", "Mine."), said("user", "x")}, got.Messages); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestARowOfWhichNoRequestCanBeMadeSaysOfWhichKindItIs(t *testing.T) {
	for row, want := range map[string]pipeline.BadKind{
		`{"q": null}`: pipeline.NullText, `{"q": ""}`: pipeline.EmptyText, `{"q": [1]}`: pipeline.NotText, `{"x": 1}`: pipeline.NotRendered,
		`{"q": "` + strings.Repeat("x", pipeline.MaxPromptBytes+1) + `"}`: pipeline.TooLong,
		`{"q": [{"role": "user", "content": " "}]}`:                       pipeline.EmptyText,
		`{"q": [{"role": "wizard", "content": "x"}]}`:                     pipeline.NotRendered,
	} {
		_, err := requestOf(t, pipeline.Spec{Field: "q", Chats: strings.Contains(row, "role")}, row)
		if problem := new(RowProblem); !errors.As(err, &problem) || problem.Kind != want {
			t.Errorf("%.60s: %v, want %s", row, err, want)
		}
	}
	if got, err := requestOf(t, pipeline.Spec{Field: "q", SendEmpty: true}, `{"q": ""}`); err != nil || len(got.Messages) != 1 {
		t.Errorf("an empty prompt that is wanted: %v, %v", got, err)
	}
}

func TestTheLanguageOfAPromptIsSettled(t *testing.T) {
	for _, c := range []struct {
		spec pipeline.Spec
		want pipeline.Language
	}{
		{pipeline.Spec{Prompt: "Q: {{ question }}"}, pipeline.Jinja},
		{pipeline.Spec{Prompt: "Q: {question}"}, pipeline.Jinja},
		{pipeline.Spec{Prompt: "Q: {{.question}}"}, ""},
		{pipeline.Spec{Field: "q", System: "Be brief."}, ""},
		{pipeline.Spec{Field: "q", System: "Answer in {{ lang }}."}, pipeline.Jinja},
	} {
		got := Begin(c.spec, false, false)
		refused := RefuseGoTemplate(got)
		if got.Language != c.want || (refused != nil) != (c.want == "" && c.spec.Prompt != "") {
			t.Errorf("%+v: language %q, refused: %v", c.spec, got.Language, refused)
		}
		if refused != nil && !strings.Contains(refused.Error(), "{{ question }}") {
			t.Errorf("it does not say how to write it: %v", refused)
		}
	}
	if got := Begin(pipeline.Spec{Prompt: "\ufeffa {{ b }}\r\n"}, true, false); got.Prompt != "a {{ b }}" {
		t.Errorf("of a file came %q", got.Prompt)
	}
}

func TestAPromptWithoutAColumnIsRefusedWithTheSpellingThatWorks(t *testing.T) {
	rows := [][]byte{[]byte(`{"question": "a", "id": 1}`)}
	settle := func(prompt string, same bool) (string, error) {
		_, note, err := Settle(pipeline.Spec{Prompt: prompt, Language: pipeline.Jinja}, rows, same)
		return note, err
	}
	for prompt, want := range map[string]string{
		"Q: {question}": "{{ question }}", "Q: $question": "{{ question }}", "Tell a joke.": "{{ question }}",
	} {
		_, err := settle(prompt, false)
		if spec := new(pipeline.SpecError); !errors.As(err, &spec) || spec.Field != "prompt" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--same-prompt") {
			t.Errorf("%q: %v", prompt, err)
		}
		if _, err := settle(prompt, true); err != nil {
			t.Errorf("%q, where it is wanted: %v", prompt, err)
		}
	}
	if note, err := settle(`{{ question }} \boxed{answer}`, false); err != nil || note != "" {
		t.Errorf("%q, %v", note, err)
	}
	if note, err := settle("{{ id }}: {question}", false); err != nil || !strings.Contains(note, "{{ question }}") {
		t.Errorf("beside a column that is used: %q, %v", note, err)
	}
}

func TestTheFirstRowSaysWhetherAFieldHoldsChats(t *testing.T) {
	for row, want := range map[string]bool{`{"q": "a"}`: false, `{"q": [{"role": "user", "content": "a"}]}`: true, `{"q": ["a", "b", "c"]}`: true} {
		if got, _, err := Settle(pipeline.Spec{Field: "q"}, [][]byte{[]byte(row)}, false); err != nil || got.Chats != want {
			t.Errorf("%s: %v, %v", row, got.Chats, err)
		}
	}
	if _, _, err := Settle(pipeline.Spec{Field: "q"}, [][]byte{[]byte(`{"x": 1}`)}, false); err == nil || !strings.Contains(err.Error(), `no row has a column "q": the columns are x`) {
		t.Errorf("a column that is not there: %v", err)
	}
}
