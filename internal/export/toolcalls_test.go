package export

import (
	"encoding/json"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

const (
	askedTools = `[{"type":"function","function":{"name":"add","parameters":{"type":"object"}}}]`
	addCall    = `{"id":"c1","type":"function","function":{"name":"add","arguments":{"a":1,"b":"two"}}}`
)

// called returns the line for an answer that calls tools, with what is said besides the calls.
func called(t *testing.T, c Config, field, row, content, calls string) string {
	t.Helper()
	run := testRun()
	run.Spec.Prompt, run.Spec.Field, run.Spec.Chats = "", field, true
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		t.Fatal(err)
	}
	c.Provenance = ProvenanceNone
	return line(t, run, c, renderer, answered([]string{row}, pipeline.CallText(content, pipeline.JSON(calls)))[0])
}

func TestAnAnswerThatCallsToolsIsAMessageInChats(t *testing.T) {
	const (
		row    = `{"messages": [{"role": "user", "content": "1+two?"}], "tools": ` + askedTools + `}`
		nested = `{"body": {"messages": [{"role": "user", "content": "1+two?"}], "tools": ` + askedTools + `}}`
		answer = `{"role":"assistant","content":"","tool_calls":[` + addCall + `]}`
		value  = `{"name":"add","arguments":{"a":1,"b":"two"}}`
	)
	asText := func(value string) string {
		text, _ := json.Marshal(value)
		return string(text)
	}
	for _, c := range []struct {
		layout, field, row string
		want               string
	}{
		{LayoutChat, "messages", row, `{"messages": [{"role":"user","content":"1+two?"},` + answer + `], "tools": ` + askedTools + `}`},
		{LayoutChat, "body.messages", nested, `{"messages": [{"role":"user","content":"1+two?"},` + answer + `], "tools": ` + askedTools + `, "body": `},
		{LayoutPromptCompletion, "body.messages", nested, `"completion": [` + answer + `], "tools": ` + askedTools},
		{LayoutShareGPT, "body.messages", nested, `{"conversations": [{"from":"human","value":"1+two?"},{"from":"function_call","value":` + asText(value) + `}], "tools": ` + asText(askedTools)},
		{LayoutOpenAIBatch, "body.messages", nested, `"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":` + asText(`{"a":1,"b":"two"}`) + `}}]},"logprobs":null,"finish_reason":"tool_calls"}]`},
		{LayoutRows, "messages", row, `"response": ` + asText(pipeline.CallText("", `[`+addCall+`]`))},
	} {
		if got := called(t, Config{Layout: c.layout}, c.field, c.row, "", "["+addCall+"]"); !strings.Contains(got, c.want) {
			t.Errorf("%s of %s:\n%s\nhas no\n%s", c.layout, c.field, got, c.want)
		}
	}
}

func TestSeveralCallsAndWhatIsSaidBesideThem(t *testing.T) {
	const (
		row   = `{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "so", "tool_calls": [` + addCall + `]}, {"role": "tool", "content": "3"}], "tools": ` + askedTools + `}`
		other = `{"type":"function","function":{"name":"add","arguments":{}}}`
		both  = `[{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":\"two\"}},{\"name\":\"add\",\"arguments\":{}}]`
	)
	want := `{"conversations": [{"from":"human","value":"?"},{"from":"gpt","value":"so"},{"from":"function_call","value":"{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":\"two\"}}"},` +
		`{"from":"observation","value":"3"},{"from":"gpt","value":"Let me see."},{"from":"function_call","value":"` + both + `"}]`
	if got := called(t, Config{Layout: LayoutShareGPT}, "messages", row, "Let me see.", "["+addCall+","+other+"]"); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	got := called(t, Config{Layout: LayoutOpenAIBatch}, "messages", row, "Let me see.", "["+addCall+","+other+"]")
	if !strings.Contains(got, `"content":"Let me see."`) || !strings.Contains(got, `"id":"call_0_0_1"`) {
		t.Errorf("got %s", got)
	}
}

// What was written can be read again: the next turn of a conversation is an ordinary run.
func TestAChatWithCallsIsReadAsItWasWritten(t *testing.T) {
	const row = `{"messages": [{"role": "user", "content": "?"}], "tools": ` + askedTools + `}`
	for layout, field := range map[string]string{LayoutChat: "messages", LayoutShareGPT: "conversations"} {
		renderer, err := prompt.New(pipeline.Spec{Field: field, Chats: true})
		if err != nil {
			t.Fatal(err)
		}
		request, err := renderer.Request([]byte(called(t, Config{Layout: layout}, "messages", row, "", "["+addCall+"]")))
		if err != nil || string(request.Tools) != askedTools || !strings.Contains(request.Reference, `"name":"add","arguments":{"a":1,"b":"two"}`) {
			t.Errorf("%s: %+v, %v", layout, request, err)
		}
	}
}

func TestTextThatLooksLikeACallIsTextWhereThereAreNoTools(t *testing.T) {
	text := pipeline.CallText("", "["+addCall+"]")
	a := answered([]string{`{"q": 1}`}, text)[0]
	for _, layout := range []string{LayoutChat, LayoutShareGPT, LayoutOpenAIBatch} {
		if got := line(t, testRun(), Config{Layout: layout}, asked{question: "?"}, a); strings.Contains(got, `,"tool_calls"`) || strings.Contains(got, "function_call") {
			t.Errorf("%s: %s", layout, got)
		}
	}
}
