package chat

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func p[T any](v T) *T { return &v }

func TestALineOfABatchIsRead(t *testing.T) {
	const row = ` {"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "Be brief."},` +
		`{"role": "user", "content": "Why?"}], "max_tokens": 100, "max_completion_tokens": 256.0, "temperature": 0.7, "top_p": 0.9, "stop": ["\n", "END"], "seed": 42, "n": 2, "presence_penalty": 0.5,` +
		`"frequency_penalty": -0.5, "response_format": {"type": "json_object"}, "tools": ` + weatherTool + `, "logit_bias": {"50256": -100}, "tool_choice": "required", "user": "ann", "metadata": {}, "stream": false,` +
		`"reasoning_effort": "low", "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1, "whatever": 1, "logprobs": null, "tool_choice": "auto", "whatever": 2}} `
	got, ok, err := BatchRequest([]byte(row))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := BatchLine{
		CustomID: "request-1", Model: "gpt-4o-mini", Chat: Chat{Messages: []pipeline.Message{sys("Be brief."), user("Why?")}, Tools: weatherTool},
		Options: pipeline.Options{Temperature: p(0.7), TopP: p(0.9), TopK: p(40), MinP: p(0.1), RepeatPenalty: p(1.1), PresencePenalty: p(0.5), FrequencyPenalty: p(-0.5), NumPredict: 256,
			Stop: []string{"\n", "END"}, Schema: json.RawMessage(pipeline.AnyJSON), Think: pipeline.ThinkLow},
		N: p(2), Seed: p(42),
		Unknown: []string{"logit_bias", "tool_choice", "whatever"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALineOfABatchNeedsLittle(t *testing.T) {
	for _, row := range []string{
		`{"custom_id":"1","body":{"messages":[{"role":"user","content":"a"}]}}`,
		`{"custom_id":1,"method":null,"url":null,"body":{"messages":[{"role":"user","content":"a"}],"temperature":null,"stop":null,"tools":null,"max_tokens":null}}`,
		`{"custom_id":"1","method":"post","url":"/chat/completions","body":{"messages":[{"role":"user","content":"a"}],"stream_options":{}}}`,
	} {
		got, ok, err := BatchRequest([]byte(row))
		if err != nil || !ok {
			t.Errorf("%s: %t, %v", row, ok, err)
			continue
		}
		if diff := cmp.Diff(BatchLine{CustomID: "1", Chat: Chat{Messages: []pipeline.Message{user("a")}}}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row, diff)
		}
	}
	got, _, err := BatchRequest([]byte(`{"custom_id":"1","body":{"max_completion_tokens":5,"max_tokens":9,"stop":"x","messages":["a","b"]}}`))
	if err != nil || got.Options.NumPredict != 5 || got.Options.Stop[0] != "x" || got.Chat.Reference != "b" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOtherRowsAreNoLinesOfABatch(t *testing.T) {
	for _, row := range []string{"", "5", "[]", `{}`, `{"custom_id":"1"}`, `{"body":{}}`, `{"custom_id":"1","body":"text"}`, `{"custom_id":"1","body":{"text":"a mail"}}`, `["custom_id","body"]`, `{"a":{"custom_id":"1","body":{}}}`, `{"custom_id":"1","body":{}`, `{"text":"\"custom_id\" \"body\""}`} {
		if got, ok, err := BatchRequest([]byte(row)); ok || err != nil {
			t.Errorf("%s: %+v, %v", row, got, err)
		}
	}
}

func TestALineOfABatchThatCannotBeAnsweredIsExplained(t *testing.T) {
	line := func(body string) string {
		return `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{` + body + `}}`
	}
	const messages = `"messages":[{"role":"user","content":"a"}]`
	for _, c := range []struct{ row, want string }{
		{`{"custom_id":"","body":{` + messages + `}}`, "custom_id is empty"},
		{`{"custom_id":null,"body":{` + messages + `}}`, "custom_id is null"},
		{`{"custom_id":"1","method":"GET","body":{}}`, `method is "GET": only POST is answered`},
		{`{"custom_id":"1","url":"/v1/embeddings","body":{"input":"a"}}`, `url is "/v1/embeddings": only /v1/chat/completions is answered`},
		{`{"custom_id":"1","url":5,"body":{}}`, `url is "5"`},
		{line(``), "body has no messages"},
		{line(messages + `,"top_p":0`), "body.top_p: 0 is not in 0..1, 0 excluded"},
		{line(messages + `,"max_tokens":0`), "body.max_tokens is 0"},
		{line(messages + `,"n":0`), "body.n is 0, not in 1..1000"},
		{line(messages + `,"reasoning_effort":"extreme"`), `body.reasoning_effort is "extreme": known are none, minimal, low`},
		{line(messages + `,"response_format":{"type":"grammar"}`), `body.response_format has the type "grammar"`},
		{line(messages + `,"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`), "body.response_format has no json_schema.schema that is an object"},
		{line(`"messages":[]`), "body.messages: the chat has no turns"},
		{line(`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]`), `body.messages: turn 1: a part of its content is of type "image_url"`},
		{line(messages + `,"temperature":"hot"`), "body.temperature is a text, not a number"},
		{line(messages + `,"max_tokens":1.5`), "body.max_tokens is 1.5, not a whole number"},
		{line(messages + `,"seed":1e300`), "body.seed is 1e300, not a whole number"},
		{line(messages + `,"top_p":1e999`), "body.top_p is 1e999, which is too large"},
		{line(messages + `,"stop":[null]`), "body.stop is null"},
		{line(messages + `,"stop":{}`), "body.stop is an object"},
		{line(messages + `,"stop":[` + strings.Repeat(`"a",`, 64) + `"a"]`), "body.stop has more than 64 texts"},
		{line(messages + `,"response_format":"json"`), "body.response_format is a text, not an object with its type"},
		{line(messages + `,"tools":[5]`), "body.tools: tool 1 is not an object"},
		{line(messages + `,"model":[]`), "body.model is a list of 0, not text"},
	} {
		got, ok, err := BatchRequest([]byte(c.row))
		if !ok || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %t, %v; want %q", c.row, got, ok, err, c.want)
		}
	}
}

func FuzzBatchRequest(f *testing.F) {
	f.Add([]byte(`{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"a"}],"stop":["x"],"temperature":1}}`))
	f.Add([]byte(`{"custom_id":"1","body":{"messages":["a"],"seed":-1,"max_tokens":1e3,"tools":` + weatherTool + `}}`))
	f.Fuzz(func(t *testing.T, row []byte) {
		r, ok, err := BatchRequest(row)
		if ok && !json.Valid(row) || !ok && err != nil {
			t.Errorf("%t, %v", ok, err)
		}
		if ok && err == nil {
			checkChat(t, r.Chat)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`[{"from":"human","value":"a"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{}}"},{"from":"observation","value":"b"}]`,
		`[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":null,"tool_calls":` + weatherCall + `}]`,
		`{"messages":["a","b"],"tools":` + weatherTool + `}`, `{"role":["user"],"content":["a"]}`, `[{"human":"a","assistant":"b"}]`, `"[\"a\"]"`, `[[[[]]]]`,
		`[{"role":"assistant","tool_calls":[]},{"role":"tool_call","content":[{"name":"x"}]},{"role":"tool","content":{}}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		IsChat(value)
		chat, err := Parse(value)
		if err == nil {
			checkChat(t, chat)
		}
		if tools, err := ParseTools(value); err == nil && tools != "" && !json.Valid([]byte(tools)) {
			t.Errorf("tools %s", tools)
		}
	})
}

// checkChat checks what holds for every chat: its messages can be sent as they are.
func checkChat(t *testing.T, chat Chat) {
	t.Helper()
	work := pipeline.Work{Run: "r", UID: "u", Round: 1, Model: "m", Options: pipeline.Options{NumPredict: 1}, Generations: []pipeline.Generation{{Messages: chat.Messages, Tools: chat.Tools}}}
	data, err := pipeline.EncodeWork(work)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pipeline.DecodeWork(data)
	if err != nil && !strings.Contains(err.Error(), "more than 65536 values") {
		t.Fatalf("it cannot be sent: %v", err)
	}
	if diff := cmp.Diff(work, got); err == nil && diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if len(chat.Messages) == 0 || chat.Messages[len(chat.Messages)-1].Role == pipeline.RoleAssistant || chat.HasReference != (chat.Reference != "") {
		t.Errorf("it asks nothing: %+v", chat)
	}
	for _, m := range chat.Messages {
		if _, err := m.Calls(); err != nil || !utf8.ValidString(m.Content) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

func TestOptionsThatTheRunDoesNotHaveAreNamedWithTheirFlags(t *testing.T) {
	const row = `{"custom_id":"1","method":"POST","body":{"messages":["a"],"temperature":0.7,"min_p":0.1,"repetition_penalty":1.1,"presence_penalty":0.5,"frequency_penalty":-0.5,` +
		`"max_tokens":256,"top_k":40,"n":2,"seed":42,"stop":["\n","END","it's"],"reasoning_effort":"minimal","response_format":{"type":"json_schema","json_schema":{"schema":{"type": "object"}}}}}`
	line, ok, err := BatchRequest([]byte(row))
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	lacks := func(spec pipeline.Spec) string {
		var flags []string
		for _, a := range line.Lacks(spec) {
			if flags = append(flags, a.Parameter+": "+a.Flags); a.Has != "" {
				flags = append(flags, "has "+a.Has)
			}
		}
		return strings.Join(flags, "\n")
	}
	want := strings.Join([]string{"temperature: --temperature 0.7", "has --temperature 1", "top_k: --top-k 40", "min_p: --min-p 0.1", "repetition_penalty: --repeat-penalty 1.1",
		"presence_penalty: --presence-penalty 0.5", "frequency_penalty: --frequency-penalty=-0.5", "max_completion_tokens: --num-predict 256", "has --num-predict 1024",
		`stop: --stop $'\n' --stop END --stop 'it'\''s'`, "reasoning_effort: --think low", "has --think auto", `response_format: --schema '{"type":"object"}'`, "n: --samples 2", "has --samples 1", "seed: --seed=42", "has --seed=0"}, "\n")
	if diff := cmp.Diff(want, lacks(pipeline.Spec{Options: pipeline.Options{NumPredict: 1024, Temperature: p(1.0), Think: pipeline.ThinkAuto}, Samples: 1})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	same := pipeline.Spec{Seed: 42, Samples: 2, Options: line.Options}
	same.Options.TopP = p(0.5) // of which the line says nothing
	if got := lacks(same); got != "" {
		t.Errorf("the run has all, and yet %v", got)
	}
}
