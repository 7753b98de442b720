package ollama_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

const weatherTools = pipeline.JSON(`[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"town":{"type":"string","default":"<Bonn>"}},"additionalProperties":false}}}]`)

func toolRequest() pipeline.Request {
	req := ask
	req.Tools = weatherTools
	req.Messages = []pipeline.Message{
		{Role: pipeline.RoleUser, Content: "Is it warm?"},
		{Role: pipeline.RoleAssistant, Content: "I look.", ToolCalls: `[{"id":"c1","type":"function","function":{"name":"weather","arguments":{"z":9007199254740993,"a":[1.50,{"b":null}],"town":"<Bonn>"}}}]`},
		{Role: pipeline.RoleTool, Content: "21", ToolName: "weather", ToolCallID: "c1"},
	}
	return req
}

// sent returns what the client sends for a request.
func sent(t *testing.T, req pipeline.Request) (body string) {
	t.Helper()
	client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/api/show" {
			_, _ = io.WriteString(w, `{"capabilities":["completion","tools"]}`)
			return
		}
		body = strings.TrimSpace(string(data))
		_, _ = io.WriteString(w, token("a")+final("stop"))
	})
	if _, err := client.Generate(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return body
}

// parts returns the messages and the tools of what was sent, as they stand there.
func parts(t *testing.T, body string) (messages, tools string) {
	t.Helper()
	var sent struct{ Messages, Tools json.RawMessage }
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatal(err)
	}
	return string(sent.Messages), string(sent.Tools)
}

func TestToolsAndCallsAreSentAsTheyAre(t *testing.T) {
	messages, tools := parts(t, sent(t, toolRequest()))
	if d := cmp.Diff(string(weatherTools), tools); d != "" {
		t.Errorf("tools (-want +got):\n%s", d)
	}
	want := `[{"role":"user","content":"Is it warm?"},{"role":"assistant","content":"I look.","tool_calls":[{"id":"c1","function":{"index":0,"name":"weather","arguments":` +
		`{"z":9007199254740993,"a":[1.50,{"b":null}],"town":"\u003cBonn\u003e"}}}]},{"role":"tool","content":"21","tool_name":"weather","tool_call_id":"c1"}]`
	if d := cmp.Diff(want, messages); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
}

// Ollama itself would join these, and lose the call of the second.
func TestTurnsOfTheAssistantWithCallsAreJoined(t *testing.T) {
	req := toolRequest()
	call := req.Messages[1]
	call.Content, call.ToolCalls = "", `[{"type":"function","function":{"name":"now","arguments":{}}}]`
	req.Messages = []pipeline.Message{req.Messages[0], {Role: pipeline.RoleAssistant, Content: "Well."}, req.Messages[1], call, req.Messages[2], req.Messages[0], req.Messages[0]}
	req.Messages[2].ToolCalls = call.ToolCalls
	messages, _ := parts(t, sent(t, req))
	want := `[{"role":"user","content":"Is it warm?"},{"role":"assistant","content":"Well.\n\nI look.","tool_calls":[{"function":{"index":0,"name":"now","arguments":{}}},{"function":{"index":1,"name":"now","arguments":{}}}]},` +
		`{"role":"tool","content":"21","tool_name":"weather","tool_call_id":"c1"},{"role":"user","content":"Is it warm?"},{"role":"user","content":"Is it warm?"}]`
	if d := cmp.Diff(want, messages); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCallsThatCannotBeSentAreABadItem(t *testing.T) {
	for _, calls := range []pipeline.JSON{`[{"function":{"name":"f","arguments":[]}}]`, `[{"function":{"name":"f","arguments":"x"}}]`, `[5]`, `[{"function":{"name":"f"}}]`} {
		req := toolRequest()
		req.Messages[1].ToolCalls = calls
		if _, err := serve(t, ollama.Config{}, status(200, token("a")+final("stop"))).Generate(t.Context(), req); pipeline.ClassOf(err) != pipeline.BadItem || !strings.Contains(fmt.Sprint(err), "message 1: ") {
			t.Errorf("%s: class %s: %v", calls, pipeline.ClassOf(err), err)
		}
	}
}

func calling(calls string) string {
	return `{"message":{"role":"assistant","content":"","tool_calls":` + calls + "},\"done\":false}\n"
}

func TestAnAnswerThatCallsToolsIsKeptAsItsMessage(t *testing.T) {
	const one = `[{"id":"call_1","function":{"index":0,"name":"weather","arguments":{"town":"<Bonn>","n":9007199254740993}}}]`
	const kept = `{"id":"call_1","type":"function","function":{"name":"weather","arguments":{"town":"<Bonn>","n":9007199254740993}}}`
	for _, c := range []struct{ name, body, want string }{
		{"only a call", calling(one) + final("stop"), `{"role":"assistant","content":"","tool_calls":[` + kept + `]}`},
		{"a text and two calls", token("I ") + token("look.") + calling(one) + calling(`[{"function":{"name":"now","arguments":null}}]`) + final("stop"),
			`{"role":"assistant","content":"I look.","tool_calls":[` + kept + `,{"type":"function","function":{"name":"now","arguments":{}}}]}`},
		{"thinking before a call", token("<think>hm</think>") + calling(one) + final("stop"), `{"role":"assistant","content":"","tool_calls":[` + kept + `]}`},
		{"arguments in a text, as gateways write them", calling(`[{"function":{"name":"f","arguments":"{\"a\": 1}"}}]`) + final("stop"), `{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"a":1}}}]}`},
		{"a call in the last line", `{"message":{"tool_calls":` + one + `},"done":true,"done_reason":"stop"}` + "\n", `{"role":"assistant","content":"","tool_calls":[` + kept + `]}`},
		{"a text, although it might call", token("It is warm.") + final("stop"), "It is warm."},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := serve(t, ollama.Config{}, status(200, c.body)).Generate(t.Context(), toolRequest())
			if err != nil || got.Text != c.want || got.Finish != pipeline.FinishStop {
				t.Errorf("%+v, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestACallThatCannotBeKeptIsNoAnswer(t *testing.T) {
	many := strings.Repeat(calling(`[{"function":{"name":"f","arguments":{"x":"`+strings.Repeat("y", 64<<10)+`"}}}]`), 9)
	escapes := calling(`[{"function":{"name":"f","arguments":{}}}]`) + strings.Repeat(token(strings.Repeat(`"`, 50<<10)), 8)
	for _, c := range []struct {
		name, body string
		class      pipeline.Class
		is         error
		says       string
	}{
		{"no name", calling(`[{"function":{"arguments":{}}}]`) + final("stop"), pipeline.Degenerate, nil, "it names no tool"},
		{"arguments that are a list", token("a") + calling(`[{"function":{"name":"f","arguments":[1]}}]`) + final("stop"), pipeline.Degenerate, nil, "its arguments are no object"},
		{"arguments that are half an object", calling(`[{"function":{"name":"f","arguments":"{\"a\":"}}]`) + final("stop"), pipeline.Degenerate, nil, "its arguments are no object"},
		{"the same call for ever", strings.Repeat(calling(`[{"function":{"name":"f","arguments":{}}}]`), 31), pipeline.Degenerate, pipeline.ErrRepeats, "31 times"},
		{"calls without end", many + final("stop"), pipeline.Truncated, pipeline.ErrEndless, "524288 bytes"},
		{"a text that is too long as JSON", escapes + final("stop"), pipeline.Truncated, pipeline.ErrEndless, "524288 bytes"},
		{"cut off", calling(`[{"function":{"name":"f","arguments":{}}}]`) + final("length"), pipeline.Truncated, nil, "--num-predict"},
		{"broken off", calling(`[{"function":{"name":"f","arguments":{}}}]`), pipeline.Retryable, pipeline.ErrDropped, "after 1 tokens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := serve(t, ollama.Config{}, status(200, c.body)).Generate(t.Context(), toolRequest())
			if pipeline.ClassOf(err) != c.class || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) || len(got.Text) > pipeline.MaxTextBytes {
				t.Errorf("class %s: %.300v, with %d bytes", pipeline.ClassOf(err), err, len(got.Text))
			}
		})
	}
	req := ask // which has no tools
	_, err := serve(t, ollama.Config{}, status(200, calling(`[{"function":{"name":"f","arguments":{}}}]`)+final("stop"))).Generate(t.Context(), req)
	if !errors.Is(err, pipeline.ErrEmpty) || !strings.Contains(err.Error(), "called a tool and said nothing") {
		t.Errorf("without tools: %v", err)
	}
}

func TestDifferentCallsInARowAreNoRepetition(t *testing.T) {
	var body strings.Builder
	for i := range 40 {
		body.WriteString(calling(fmt.Sprintf(`[{"function":{"name":"f","arguments":{"n":%d}}}]`, i)))
	}
	if _, err := serve(t, ollama.Config{}, status(200, body.String()+final("stop"))).Generate(t.Context(), toolRequest()); err != nil {
		t.Error(err)
	}
}

// Every other request is answered by the same server, so nothing is wrong with the GPU.
func TestAModelWithoutToolsMakesABadItem(t *testing.T) {
	_, err := serve(t, ollama.Config{}, status(400, says("registry.ollama.ai/library/m:latest does not support tools"))).Generate(t.Context(), toolRequest())
	if pipeline.ClassOf(err) != pipeline.BadItem || !strings.Contains(err.Error(), "ollama show MODEL") {
		t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
	}
}

// Newer servers make a grammar of the parameters of tools.
func TestToolsThatAServerRefusesAreABadItem(t *testing.T) {
	const words = "Unable to generate parser for this template. JSON schema conversion failed"
	client := serve(t, ollama.Config{}, status(400, says(words)))
	if _, err := client.Generate(t.Context(), toolRequest()); pipeline.ClassOf(err) != pipeline.BadItem {
		t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
	}
	if _, err := client.Generate(t.Context(), ask); pipeline.ClassOf(err) != pipeline.Fatal {
		t.Errorf("without tools: class %s: %v", pipeline.ClassOf(err), err)
	}
	client = serve(t, ollama.Config{}, status(500, says(`option "num_predict" must be of type integer`)))
	if _, err := client.Generate(t.Context(), toolRequest()); pipeline.ClassOf(err) != pipeline.Fatal {
		t.Errorf("an option: class %s: %v", pipeline.ClassOf(err), err)
	}
}

// Ollama would leave the calls and their results out, and answer what is left.
func TestCallsInAChatWithoutToolsNeedAModelThatKnowsThem(t *testing.T) {
	for _, c := range []struct {
		shown string
		bad   bool
	}{
		{`{"capabilities":["completion"]}`, true}, {`{"capabilities":["completion","tools"]}`, false}, {`{}`, false},
	} {
		var shows, chats atomic.Int32
		client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/show" {
				shows.Add(1)
				_, _ = io.WriteString(w, c.shown)
				return
			}
			chats.Add(1)
			_, _ = io.WriteString(w, token("a")+final("stop"))
		})
		req := toolRequest()
		req.Tools = ""
		for range 3 {
			_, err := client.Generate(t.Context(), req)
			if c.bad != (pipeline.ClassOf(err) == pipeline.BadItem && err != nil) {
				t.Errorf("%s: %v", c.shown, err)
			}
		}
		if _, err := client.Generate(t.Context(), ask); err != nil {
			t.Error(err)
		}
		if want := map[bool]int32{true: 1, false: 4}[c.bad]; shows.Load() != 1 || chats.Load() != want {
			t.Errorf("%s: asked %d times what the model can do, and for %d answers, want %d", c.shown, shows.Load(), chats.Load(), want)
		}
	}
}

func prefilled(prefill string) pipeline.Request {
	req := ask
	req.Messages = append(pipeline.User("why?"), pipeline.Message{Role: pipeline.RoleAssistant, Content: prefill})
	return req
}

func TestAnAnswerBeginsWithItsPrefill(t *testing.T) {
	messages, _ := parts(t, sent(t, prefilled("Because ")))
	if want := `[{"role":"user","content":"why?"},{"role":"assistant","content":"Because "}]`; messages != want {
		t.Errorf("it sent %s", messages)
	}
	for _, c := range []struct{ prefill, body, want string }{
		{"Because ", token("it") + token(" is."), "Because it is."},
		{"{", token("\"a\": 1}"), `{"a": 1}`},
		{"<think>\nShort: ", token("yes.</think>\n\nYes."), "Yes."},
		{"1", token("1"), "11"},
	} {
		got, err := serve(t, ollama.Config{}, status(200, c.body+final("stop"))).Generate(t.Context(), prefilled(c.prefill))
		if err != nil || got.Text != c.want {
			t.Errorf("%q: %q, %v; want %q", c.prefill, got.Text, err, c.want)
		}
	}
}

func TestAPrefillAloneIsNoAnswer(t *testing.T) {
	for _, body := range []string{final("stop"), token(" \n") + final("stop"), `{"message":{"thinking":"hm"}}` + "\n" + final("stop")} {
		_, err := serve(t, ollama.Config{}, status(200, body)).Generate(t.Context(), prefilled("Because it is."))
		if !errors.Is(err, pipeline.ErrEmpty) || pipeline.ClassOf(err) != pipeline.Degenerate || !strings.Contains(err.Error(), "--prefill") {
			t.Errorf("%s: class %s: %v", body, pipeline.ClassOf(err), err)
		}
	}
	got, err := serve(t, ollama.Config{}, status(500, says("boom"))).Generate(t.Context(), prefilled("Because"))
	if err == nil || got.Text != "" {
		t.Errorf("with a failure before the first token came %q", got.Text)
	}
	got, err = serve(t, ollama.Config{}, status(200, token(" it")+final("length"))).Generate(t.Context(), prefilled("Because"))
	if pipeline.ClassOf(err) != pipeline.Truncated || got.Text != "Because it" {
		t.Errorf("with an answer that was cut off came %q, %v", got.Text, err)
	}
}

// Ollama is silent while a model writes a call.
func TestACallMayTakeLongerThanAToken(t *testing.T) {
	client := serve(t, ollama.Config{Stall: 20 * time.Millisecond, FirstToken: 200 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, token("I look."))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for says, req := range map[string]pipeline.Request{"no token for 20ms (--stall)": ask, "no token for 200ms (--first-token, ": toolRequest()} {
		if _, err := client.Generate(t.Context(), req); !errors.Is(err, pipeline.ErrStalled) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
