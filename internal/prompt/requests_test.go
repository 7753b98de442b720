package prompt

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

const (
	warmRequest = `{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", "temperature": 0.7, "max_tokens": 256, "n": 2, "seed": 5, "messages": [{"role": "user", "content": "2+2?"}]}}`
)

func unset(but ...string) (names []string) {
	for _, name := range append(pipeline.Options{}.Unset(), "samples", "seed") {
		if !strings.Contains(strings.Join(but, " "), name) {
			names = append(names, name)
		}
	}
	return names
}

func bare() pipeline.Spec {
	return pipeline.Spec{Model: "m", Samples: 1, Options: pipeline.Options{NumPredict: pipeline.DefaultNumPredict, Think: pipeline.ThinkAuto}}
}

func TestRequestsOfABatchSettleWhatNoFlagSays(t *testing.T) {
	warm, cold := 0.7, 0.0
	want := bare()
	want.Field, want.Chats, want.ID, want.Samples, want.Seed = RequestMessages, true, "custom_id", 2, 5
	want.Options.Temperature, want.Options.NumPredict = &warm, 256
	want.Requests = &pipeline.Requests{Asks: []string{"temperature", "num-predict", "samples", "seed"}}
	got, note, are := Requests(bare(), [][]byte{[]byte(warmRequest)}, unset())
	if diff := cmp.Diff(want, got); !are || diff != "" {
		t.Errorf("%t (-want +got):\n%s", are, diff)
	}
	const says = "the rows are requests of OpenAI's batch API, whose messages are sent, with what they ask for: --temperature 0.7 --num-predict 256 --samples 2 --seed=5; they name the model gpt-4o, and the run's is m"
	if note != says {
		t.Errorf("it says %q, want %q", note, says)
	}
	flags := bare()
	flags.Options.Temperature, flags.ID = &cold, "body.metadata.id"
	got, _, are = Requests(flags, [][]byte{[]byte(warmRequest)}, unset("temperature", "seed"))
	if !are || *got.Options.Temperature != 0 || got.Seed != 0 || got.ID != "body.metadata.id" || len(got.Requests.Asks) != 2 {
		t.Errorf("a flag does not come first: %+v", got)
	}
	got, _, _ = Requests(bare(), [][]byte{[]byte(`{"custom_id": 1, "body": {"messages": ["a"], "reasoning_effort": "high"}}`)}, unset())
	if got.Options.Think != pipeline.ThinkHigh || got.Options.NumPredict != pipeline.ThinkingNumPredict {
		t.Errorf("thinking has the room of an answer without: %+v", got.Options)
	}
}

func TestOtherRowsAreNoRequests(t *testing.T) {
	named, templated := bare(), bare()
	named.Field, templated.Prompt = RequestMessages, "{{ body }}"
	for name, c := range map[string]struct {
		spec pipeline.Spec
		row  string
	}{
		"a question": {bare(), `{"question": "a"}`}, "a column that is named": {named, warmRequest}, "a prompt": {templated, warmRequest},
	} {
		if got, note, are := Requests(c.spec, [][]byte{[]byte(c.row)}, unset()); are || note != "" || got.Requests != nil {
			t.Errorf("%s: %+v, %q", name, got, note)
		}
	}
	if _, _, are := Requests(bare(), nil, nil); are {
		t.Error("no rows are requests")
	}
}

func TestARequestIsSentWithItsTools(t *testing.T) {
	const row = `{"custom_id": "a", "body": {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}], "tools": [{"type": "function", "function": {"name": "f"}}]}}`
	settled, _, _ := Requests(bare(), [][]byte{[]byte(row)}, unset())
	settled.System = "Be brief."
	for name, spec := range map[string]pipeline.Spec{"as a request": settled, "its messages alone": {Field: RequestMessages, Chats: true, System: "Be brief."}} {
		got, err := requestOf(t, spec, row)
		want := pipeline.Rendered{Messages: []pipeline.Message{said("system", "Be brief."), said("user", "2+2?")}, Tools: `[{"type":"function","function":{"name":"f"}}]`, Reference: "4"}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestARequestForOtherOptionsIsRefusedWithTheFlagThatSettlesIt(t *testing.T) {
	settled, _, _ := Requests(bare(), [][]byte{[]byte(warmRequest)}, unset())
	r, err := NewChecking(settled)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := New(settled)
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, now string) string { return strings.Replace(warmRequest, old, now, 1) }
	for _, c := range []struct{ row, want string }{
		{warmRequest, ""},
		{with("0.7", "0.2"), "its body.temperature asks for --temperature 0.2, and the run has --temperature 0.7: give --temperature 0.2 if all rows ask for it, or take the messages alone with --field body.messages"},
		{with(`"temperature"`, `"top_p": 0.5, "temperature"`), "its body.top_p asks for --top-p 0.5, and the run has nothing: give --top-p 0.5"},
		{with(`"temperature": 0.7, `, ""), "its body asks for no --temperature, as the first row's does: give it as a flag to have it for all rows"},
		{with(`"temperature"`, `"logit_bias": {"5": 1}, "tool_choice": "required", "temperature"`), "its body has logit_bias, tool_choice, for which a run has nothing"},
	} {
		_, err := r.Request([]byte(c.row))
		var problem *RowProblem
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &problem) || problem.Kind != pipeline.OtherRun || !strings.HasPrefix(problem.Problem, c.want)) {
			t.Errorf("%s:\n%v, want\n%s", c.row, err, c.want)
		}
		if _, err := loaded.Request([]byte(c.row)); err != nil {
			t.Errorf("a row that was loaded once is refused: %v", err)
		}
	}
	for row, want := range map[string]string{
		`{"question": "a"}`:                            "it is no request of OpenAI's batch API with custom_id and body.messages",
		with("/v1/chat/completions", "/v1/embeddings"): `url is "/v1/embeddings": only /v1/chat/completions is answered`,
		with("2+2?", " "):                              "there is nothing to answer",
	} {
		if _, err := r.Request([]byte(row)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", row, err, want)
		}
	}
	settled.SendEmpty = true
	if got, err := requestOf(t, settled, with("2+2?", " ")); err != nil || len(got.Messages) != 1 {
		t.Errorf("an empty one that is wanted: %v, %v", got, err)
	}
}
