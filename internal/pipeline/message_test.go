package pipeline

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const weatherTools = JSON(`[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"town":{"type":"string"}}}}}]`)

func toolWork() Work {
	w := validWork()
	w.Generations[0].Tools = weatherTools
	w.Generations[0].Messages = []Message{
		{Role: RoleUser, Content: "Is it <warm> in Bonn?"},
		{Role: RoleAssistant, ToolCalls: `[{"id":"a","type":"function","function":{"name":"weather","arguments":{"town":"Bonn"}}}]`},
		{Role: RoleTool, Content: "21 °C", ToolName: "weather", ToolCallID: "a"},
	}
	return w
}

// Programs of earlier versions read what needs no tools, so its bytes stay as they are.
func TestWorkWithoutToolsIsEncodedAsBefore(t *testing.T) {
	const want = `{"version":2,"run":"r","uid":"01J","batch":3,"round":2,"model":"tiny","messages":[{"role":"system","content":"Be <brief> & kind."}],` +
		`"options":{"num_predict":64,"stop":["\n"]},"requests":[{"index":0,"item":5,"sample":1,"seed":9,"messages":[{"role":"user","content":"a < b && c > d?"}]},` +
		`{"index":2,"item":6,"sample":0,"seed":2147483647,"messages":[{"role":"user","content":"\u2028 é\u0000"}]}]}`
	if diff := cmp.Diff(want, string(encodedWork(t, validWork()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Programs that know only version 3 would leave out tools, calls and the beginning of an answer.
func TestWorkWithToolsHasAVersionOfItsOwn(t *testing.T) {
	for name, change := range map[string]func(*Work){
		"tools":           func(w *Work) { w.Generations[1].Tools = weatherTools },
		"a call":          func(w *Work) { w.Generations[0] = toolWork().Generations[0]; w.Generations[0].Tools = "" },
		"a tool's result": func(w *Work) { w.Generations[1].Messages[0].Role = RoleTool },
		"a shared call":   func(w *Work) { w.Shared[0].ToolCalls = "[]" },
		"a prefill": func(w *Work) {
			w.Generations[1].Messages = append(User("x"), Message{Role: RoleAssistant, Content: "Well"})
		},
		"tools of a verdict": func(w *Work) { *w = doubtedWork(); w.Final[0].Tools = weatherTools },
	} {
		work := validWork()
		change(&work)
		data := encodedWork(t, work)
		if !strings.HasPrefix(string(data), `{"version":4,`) {
			t.Errorf("%s: %s", name, data)
		}
		got, err := DecodeWork(data)
		if diff := cmp.Diff(work, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-before +after):\n%s", name, err, diff)
		}
	}
	chat := validWork()
	chat.Generations[0].Messages = []Message{{Role: RoleUser, Content: "a"}, {Role: RoleAssistant, Content: "b"}, {Role: RoleUser, Content: "c"}}
	if data := encodedWork(t, chat); !strings.HasPrefix(string(data), `{"version":2,`) {
		t.Errorf("a chat of several turns, which every program understands: %s", data)
	}
}

func TestMessagesBeyondTheLimitsAreRefused(t *testing.T) {
	long := JSON("[" + strings.Repeat(" ", MaxToolsBytes) + "]")
	for name, change := range map[string]func(*Generation){
		"too many messages": func(g *Generation) { g.Messages = make([]Message, MaxMessages) }, // and the shared one
		"long tools":        func(g *Generation) { g.Tools = long },
		"broken tools":      func(g *Generation) { g.Tools = "[1" },
		"tools that are an object": func(g *Generation) {
			g.Tools = "{}"
		},
		"long calls":   func(g *Generation) { g.Messages[1].ToolCalls = long },
		"broken calls": func(g *Generation) { g.Messages[1].ToolCalls = "x" },
		"a long name":  func(g *Generation) { g.Messages[2].ToolName = strings.Repeat("x", 257) },
		"a long id":    func(g *Generation) { g.Messages[2].ToolCallID = strings.Repeat("x", 257) },
	} {
		work := toolWork()
		change(&work.Generations[0])
		if _, err := DecodeWork(encodedWork(t, work)); err == nil || !strings.HasPrefix(err.Error(), "work message: generation 0: ") {
			t.Errorf("%s: %v", name, err)
		}
		letter := DeadLetter{Run: "r", Round: 1, Failures: []GenerationFailure{{Generation: work.Generations[0]}}}
		if name != "too many messages" {
			if err := letter.Validate(); err == nil {
				t.Errorf("%s: accepted in a dead letter", name)
			}
		}
	}
}

func TestEverythingThatTheModelReadsIsCounted(t *testing.T) {
	work := toolWork()
	request := work.Request(work.Generations[0])
	want := len(weatherTools)
	for _, m := range request.Messages {
		want += len(m.Content) + len(m.ToolCalls) + len(m.ToolName) + len(m.ToolCallID)
	}
	if got := request.PromptBytes(); got != want || !request.UsesTools() {
		t.Errorf("%d bytes, want %d; it uses tools: %t", got, want, request.UsesTools())
	}
	canary := request.Asking(CanaryPrompt, 3)
	if canary.UsesTools() || canary.PromptBytes() != len(CanaryPrompt) || canary.Options.NumPredict != 3 || canary.Model != request.Model || canary.Seed != request.Seed {
		t.Errorf("a canary is %+v", canary)
	}
	if request.Tools != weatherTools || len(request.Messages) != 4 {
		t.Error("asking something else changed the request")
	}
}

func TestThePromptOfARequestWithPrefillIsWhatWasAsked(t *testing.T) {
	asked := append(User("why?"), Message{Role: RoleAssistant, Content: "Because"})
	if got := (Request{Messages: asked}).Prompt(); got != "why?" {
		t.Errorf("prompt %q", got)
	}
	for _, c := range []struct {
		messages []Message
		want     string
	}{
		{nil, ""}, {User("a"), ""}, {asked, "Because"}, {toolWork().Generations[0].Messages[:2], ""}, {asked[1:], "Because"},
	} {
		if got := Prefill(c.messages); got != c.want {
			t.Errorf("%v begins with %q, want %q", c.messages, got, c.want)
		}
	}
}

func TestAnAnswerThatCallsToolsIsOneTextAndBecomesAMessageAgain(t *testing.T) {
	calls, err := EncodeCalls([]ToolCall{NewToolCall("call_1", "weather", json.RawMessage(`{"town": "<Bonn>", "n": 9007199254740993}`)), NewToolCall("", "now", nil)})
	if err != nil {
		t.Fatal(err)
	}
	text := CallText("One moment, \"please\".", calls)
	want := `{"role":"assistant","content":"One moment, \"please\".","tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":{"town":"<Bonn>","n":9007199254740993}}},` +
		`{"type":"function","function":{"name":"now","arguments":{}}}]}`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	message := AnswerMessage(text, weatherTools)
	if diff := cmp.Diff(Message{Role: RoleAssistant, Content: "One moment, \"please\".", ToolCalls: calls}, message); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := message.Calls(); err != nil || len(got) != 2 || got[0].ID != "call_1" || got[1].Function.Name != "now" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, other := range map[string]string{
		"a text":                      "It is warm.",
		"a text without tools":        callPrefix + `"}`,
		"white space of a model":      strings.Replace(text, ",\"tool", ", \"tool", 1),
		"a further field":             strings.Replace(text, `"content"`, `"x":1,"content"`, 1),
		"calls that are none":         callPrefix + `","tool_calls":1}`,
		"calls that are null":         callPrefix + `","tool_calls":null}`,
		"the beginning of an answer":  callPrefix,
		"an object that has no calls": callPrefix + `a"}`,
	} {
		if diff := cmp.Diff(Message{Role: RoleAssistant, Content: other}, AnswerMessage(other, weatherTools)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := AnswerMessage(text, ""); got.Content != text {
		t.Errorf("without tools it is the text of an answer: %+v", got)
	}
	if _, err := EncodeCalls([]ToolCall{NewToolCall("", "x", json.RawMessage("{"))}); err == nil {
		t.Error("arguments that are no JSON were encoded")
	}
	if _, err := (Message{ToolCalls: "{"}).Calls(); err == nil {
		t.Error("calls that are no JSON were read")
	}
}

func TestAConversationHasTheAnswerAsItsLastTurn(t *testing.T) {
	asked := make([]Message, 0, 8)
	asked = append(asked, Message{Role: RoleUser, Content: "why?"}, Message{Role: RoleAssistant, Content: "Because"})
	got := Conversation(asked, "", "Because it is.")
	if diff := cmp.Diff([]Message{{Role: RoleUser, Content: "why?"}, {Role: RoleAssistant, Content: "Because it is."}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if asked[1].Content != "Because" {
		t.Error("the messages of the request were changed")
	}
}
