package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func sys(text string) pipeline.Message {
	return pipeline.Message{Role: pipeline.RoleSystem, Content: text}
}
func user(text string) pipeline.Message {
	return pipeline.Message{Role: pipeline.RoleUser, Content: text}
}
func gpt(text string) pipeline.Message {
	return pipeline.Message{Role: pipeline.RoleAssistant, Content: text}
}
func called(text, calls string) pipeline.Message {
	return pipeline.Message{Role: pipeline.RoleAssistant, Content: text, ToolCalls: pipeline.JSON(calls)}
}
func returned(text, name, id string) pipeline.Message {
	return pipeline.Message{Role: pipeline.RoleTool, Content: text, ToolName: name, ToolCallID: id}
}

const (
	weatherCall = `[{"type":"function","function":{"name":"weather","arguments":{"town":"Bonn"}}}]`
	weatherTool = `[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]`
)

type parsing struct {
	name, value string
	want        []pipeline.Message
	reference   string
	tools       string
}

func testParse(t *testing.T, cases []parsing) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(json.RawMessage(c.value))
			if err != nil {
				t.Fatal(err)
			}
			want := Chat{Messages: c.want, Reference: c.reference, HasReference: c.reference != "", Tools: pipeline.JSON(c.tools)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.value[0] != '"' && !IsChat(json.RawMessage(c.value)) {
				t.Error("it does not look like a chat")
			}
		})
	}
}

func TestChatsOfEveryKindBecomeMessages(t *testing.T) {
	testParse(t, []parsing{
		{name: "ShareGPT of several turns", want: []pipeline.Message{sys("Be brief."), user("Name a metal."), gpt("Iron."), user("Another one?")},
			value: `[{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Name a metal."}, {"from": "gpt", "value": "Iron."}, {"from": "human", "value": "Another one?"}]`},
		{name: "OpenAI's messages", want: []pipeline.Message{sys("Answer in German."), user("Name a town.")},
			value: `[{"role": "system", "content": "Answer in German."}, {"role": "user", "content": "Name a town."}]`},
		{name: "a last turn of the assistant is the reference", want: []pipeline.Message{user("2+2?")}, reference: "4",
			value: `[{"role":"user","content":"2+2?"},{"role":"assistant","content":"4"}]`},
		{name: "several last turns of the assistant", want: []pipeline.Message{user("2+2?")}, reference: "Well.\n\n4",
			value: `[{"role":"user","content":"2+2?"},{"role":"assistant","content":"Well."},{"role":"assistant","content":"4"}]`},
		{name: "a place for the answer that is empty", want: []pipeline.Message{user("2+2?")},
			value: `[{"role":"user","content":"2+2?"},{"role":"assistant","content":""}]`},
		{name: "a place for the answer that is null", want: []pipeline.Message{user("2+2?")},
			value: `[{"role":"user","content":"2+2?"},{"role":"assistant","content":null}]`},
		{name: "a developer", want: []pipeline.Message{sys("Be brief."), user("Hi")},
			value: `[{"role":"developer","content":"Be brief."},{"role":"user","name":"ann","content":"Hi"}]`},
		{name: "names of people are left out, and keys for training", want: []pipeline.Message{user("Hi"), gpt("Yes?"), user("Ho")},
			value: `[{"role":"user","name":"ann","content":"Hi","weight":0},{"role":"assistant","content":"Yes?","weight":1},{"role":"user","content":"Ho"}]`},
		{name: "examples in OpenAI's system prompts", want: []pipeline.Message{sys("Say it shorter."), user("Good morning"), gpt("Hi"), user("Good night")},
			value: `[{"role":"system","content":"Say it shorter."},{"role":"system","name":"example_user","content":"Good morning"},{"role":"system","name":"example_assistant","content":"Hi"},{"role":"user","content":"Good night"}]`},
		{name: "speaker and text", want: []pipeline.Message{user("a"), gpt("b"), user("c")},
			value: `[{"speaker":"Human","text":"a"},{"speaker":"ASSISTANT:","text":"b"},{"speaker":" user ","text":"c"}]`},
		{name: "author and utterance, sender and message", want: []pipeline.Message{user("a"), gpt("b"), user("c")},
			value: `[{"author":"prompter","utterance":"a"},{"sender":"bot","message":"b"},{"author":"human","message":"c"}]`},
		{name: "cousins of the assistant", want: []pipeline.Message{user("a"), gpt("1"), gpt("2"), gpt("3"), gpt("4"), gpt("5"), user("b")},
			value: `[{"from":"human","value":"a"},{"from":"chatgpt","value":"1"},{"from":"bing","value":"2"},{"from":"bard","value":"3"},{"from":"model","value":"4"},{"from":"GPT-4","value":"5"},{"from":"user","value":"b"}]`},
		{name: "Parquet, where absent keys are null", want: []pipeline.Message{user("a")}, reference: "b",
			value: `[{"role":"user","content":"a","from":null,"value":null,"name":null,"tool_calls":null,"tool_call_id":null,"images":null},{"role":"assistant","content":"b","tool_calls":null,"function_call":null}]`},
		{name: "Parquet with keys of both families", want: []pipeline.Message{user("a"), gpt("b"), user("c")},
			value: `[{"from":"human","role":null,"content":null,"value":"a"},{"from":null,"value":null,"role":"assistant","content":"b"},{"from":"human","value":"c"}]`},
		{name: "texts that alternate", want: []pipeline.Message{user("a"), gpt("b"), user("c")}, value: `["a", "b", "c"]`},
		{name: "texts of which the last one is the answer", want: []pipeline.Message{user("a")}, reference: "b", value: `["a","b"]`},
		{name: "one text", want: []pipeline.Message{user("a")}, value: ` ["a"] `},
		{name: "keys that are roles", want: []pipeline.Message{user("a"), gpt("b"), user("c")}, reference: "d",
			value: `[{"human":"a","assistant":"b"},{"human":"c","assistant":"d"}]`},
		{name: "one key that is a role", want: []pipeline.Message{sys("s"), user("a")}, value: `[{"system":"s"},{"user":"a"}]`},
		{name: "an assistant that begins", want: []pipeline.Message{gpt("Hello!"), user("Hi")},
			value: `[{"from":"gpt","value":"Hello!"},{"from":"human","value":"Hi"}]`},
		{name: "turns of one role in a row", want: []pipeline.Message{user("a"), user("b"), gpt("c"), gpt("d"), user("e")},
			value: `[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`},
		{name: "a system prompt without text", want: []pipeline.Message{user("a")},
			value: `[{"role":"system","content":" "},{"role":"user","content":"a"}]`},
		{name: "an empty turn within", want: []pipeline.Message{user("a"), gpt(""), user("b")},
			value: `[{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":"b"}]`},
		{name: "only a system prompt", want: []pipeline.Message{sys("Name a town.")}, value: `[{"role":"system","content":"Name a town."}]`},
		{name: "a system prompt in the middle", want: []pipeline.Message{user("a"), sys("s"), user("b")},
			value: `[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"}]`},
		{name: "numbers and truth as content", want: []pipeline.Message{user("1.50"), gpt("true"), user("9007199254740993")},
			value: `[{"role":"user","content":1.50},{"role":"assistant","content":true},{"role":"user","content":9007199254740993}]`},
		{name: "half of a character", want: []pipeline.Message{user("Smile \uFFFD please 😀")},
			value: `[{"role":"user","content":"Smile \ud83d please \ud83d\ude00"}]`},
		{name: "escapes in keys", want: []pipeline.Message{user("a\nb")}, value: `[{"r\u006fle":"\u0075ser","content":"a\nb"}]`},
		{name: "an object that holds messages", want: []pipeline.Message{user("a")}, reference: "b", value: `{"id":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
		{name: "an object that holds conversations and messages that are null", want: []pipeline.Message{user("a")}, value: `{"messages":null,"conversations":[{"from":"human","value":"a"}]}`},
		{name: "a list for each key", want: []pipeline.Message{user("a"), gpt("b"), user("c")}, value: `{"role":["user","assistant","user"],"content":["a","b","c"]}`},
		{name: "a list for each key, below a key", want: []pipeline.Message{user("a")}, reference: "b", value: `{"conversations":{"from":["human","gpt"],"value":["a","b"],"weight":[null,1]}}`},
		{name: "a chat in the cell of a table", want: []pipeline.Message{user("a \"b\"")}, value: `"[{\"role\": \"user\", \"content\": \"a \\\"b\\\"\"}]"`},
	})
}

func TestThePartsOfAContentAreJoined(t *testing.T) {
	testParse(t, []parsing{
		{name: "one part", want: []pipeline.Message{user("a")}, value: `[{"role":"user","content":[{"type":"text","text":"a"}]}]`},
		{name: "parts on lines of their own", want: []pipeline.Message{user("A text.\nSum it up.")},
			value: `[{"role":"user","content":[{"type":"text","text":"A text."},{"type":"text","text":"Sum it up."}]}]`},
		{name: "parts with their own space", want: []pipeline.Message{user("Hello world\n!")},
			value: `[{"role":"user","content":[{"type":"text","text":"Hello "},{"type":"text","text":"world"},{"type":"input_text","text":"\n!"}]}]`},
		{name: "texts as parts", want: []pipeline.Message{user("a\nb")}, value: `[{"role":"user","content":["a","b",{"text":""}]}]`},
		{name: "keys of a part that are null", want: []pipeline.Message{user("a")}, value: `[{"role":"user","content":[{"type":"text","text":"a","image_url":null}]}]`},
		{name: "a part without type", want: []pipeline.Message{user("a")}, value: `[{"role":"user","content":[{"text":"a"}]}]`},
		{name: "a part in place of a list", want: []pipeline.Message{user("a")}, value: `[{"role":"user","content":{"type":"text","text":"a"}}]`},
		{name: "thinking and a refusal", want: []pipeline.Message{user("a"), gpt("No."), user("b")},
			value: `[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"refusal","refusal":"No."}]},{"role":"user","content":"b"}]`},
		{name: "no parts in the place of the answer", want: []pipeline.Message{user("a")}, value: `[{"role":"user","content":"a"},{"role":"assistant","content":[]}]`},
	})
}

func TestToolsAndTheirCallsAreTakenOver(t *testing.T) {
	const ask = `{"role":"user","content":"Is it warm?"},`
	testParse(t, []parsing{
		{name: "OpenAI's calls, arguments as text, content null beside them",
			value: `[` + ask + `{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"town\": \"Bonn\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"21"}]`,
			want:  []pipeline.Message{user("Is it warm?"), called("", `[{"id":"c1","type":"function","function":{"name":"weather","arguments":{"town":"Bonn"}}}]`), returned("21", "weather", "c1")}},
		{name: "arguments as an object, exact and in their order, and a text beside the call",
			value: `[` + ask + `{"role":"assistant","content":"I look.","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"b":9007199254740993,"a":1.50,"none":null}}}]},{"role":"tool","name":"f","content":{"t": 21}}]`,
			want:  []pipeline.Message{user("Is it warm?"), called("I look.", `[{"type":"function","function":{"name":"f","arguments":{"b":9007199254740993,"a":1.50}}}]`), returned(`{"t":21}`, "f", "")}},
		{name: "two calls whose results come in another order",
			value: `[` + ask + `{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":""}},{"id":"2","function":{"name":"g"}}]},{"role":"tool","tool_call_id":"2","content":"G"},{"role":"tool","tool_call_id":"1","content":"F"}]`,
			want: []pipeline.Message{user("Is it warm?"), called("", `[{"id":"1","type":"function","function":{"name":"f","arguments":{}}},{"id":"2","type":"function","function":{"name":"g","arguments":{}}}]`),
				returned("G", "g", "2"), returned("F", "f", "1")}},
		{name: "OpenAI's first form", value: `[` + ask + `{"role":"assistant","content":null,"function_call":{"name":"weather","arguments":"{\"town\":\"Bonn\"}"}},{"role":"function","name":"weather","content":"21"}]`,
			want: []pipeline.Message{user("Is it warm?"), called("", weatherCall), returned("21", "weather", "")}},
		{name: "ShareGPT's calls and observations", value: `[{"from":"human","value":"Is it warm?"},{"from":"function_call","value":"{\"name\": \"weather\", \"arguments\": {\"town\": \"Bonn\"}}"},{"from":"observation","value":"21"},{"from":"gpt","value":"Yes."}]`,
			want: []pipeline.Message{user("Is it warm?"), called("", weatherCall), returned("21", "weather", "")}, reference: "Yes."},
		{name: "a call after a text, and two calls in a row", value: `[{"from":"human","value":"a"},{"from":"gpt","value":"I look."},{"from":"function-call","value":{"name":"f","arguments":{}}},{"from":"tool_call","value":[{"name":"g","arguments":"{}"}]},{"from":"function_response","value":"F"},{"from":"tool","value":"G"}]`,
			want: []pipeline.Message{user("a"), called("I look.", `[{"type":"function","function":{"name":"f","arguments":{}}},{"type":"function","function":{"name":"g","arguments":{}}}]`), returned("F", "f", ""), returned("G", "g", "")}},
		{name: "calls as the reference", value: `[` + ask + `{"role":"assistant","content":"","tool_calls":` + weatherCall + `}]`,
			want: []pipeline.Message{user("Is it warm?")}, reference: `{"role":"assistant","content":"","tool_calls":` + weatherCall + `}`},
		{name: "calls in a text", value: `[` + ask + `{"role":"assistant","tool_calls":"[{\"name\":\"weather\",\"arguments\":{\"town\":\"Bonn\"}}]"},{"role":"ipython","content":["21",2]}]`,
			want: []pipeline.Message{user("Is it warm?"), called("", weatherCall), returned(`["21",2]`, "weather", "")}},
		{name: "a result in parts", value: `[` + ask + `{"role":"tool","content":[{"type":"text","text":"21"}]}]`, want: []pipeline.Message{user("Is it warm?"), returned("21", "", "")}},
		{name: "no calls", value: `[` + ask + `{"role":"assistant","content":"No.","tool_calls":[]},{"role":"user","content":"b"}]`, want: []pipeline.Message{user("Is it warm?"), gpt("No."), user("b")}},
		{name: "tools beside the messages", value: `{"messages":[{"role":"user","content":"a"}],"tools":` + weatherTool + `}`, want: []pipeline.Message{user("a")}, tools: weatherTool},
		{name: "tools in the system prompt", value: `[{"role":"system","content":"","tools":` + weatherTool + `},{"role":"user","content":"a"}]`, want: []pipeline.Message{user("a")}, tools: weatherTool},
	})
}

func TestToolsOfAColumnGetOpenAIsForm(t *testing.T) {
	quoted, err := json.Marshal(`[{"name": "weather", "parameters": {"type": "object"}}]`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"OpenAI's form", weatherTool, weatherTool},
		{"only the function", `[{"name":"weather","parameters":{"type":"object"}}]`, weatherTool},
		{"the function without type around it", `[{"function":{"name":"weather","parameters":{"type":"object"}}}]`, weatherTool},
		{"one tool", `{"name":"weather","parameters":{"type":"object"}}`, weatherTool},
		{"a text", string(quoted), weatherTool},
		{"a list of texts", `["{\"name\":\"weather\",\"parameters\":{\"type\":\"object\"}}"]`, weatherTool},
		{"Parquet's nulls", `[{"type":"function","function":{"name":"weather","strict":null,"parameters":{"type":"object","properties":null,"required":null}}}]`, weatherTool},
		{"null", "null", ""}, {"nothing", "", ""}, {"an empty list", "[]", ""}, {"an empty text", `" "`, ""}, {"a text with an empty list", `"[]"`, ""}, {"null in a text", `"null"`, ""},
	} {
		if got, err := ParseTools(json.RawMessage(c.value)); err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	deep := strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)
	for _, c := range []struct{ value, want string }{
		{`5`, "the tools are no list"}, {`"x"`, "the text is not JSON"}, {`[5]`, "tool 1 is not an object"}, {`[{"name":"a"},{"type":"function"}]`, "tool 2 has no name"},
		{`[{"type":"web_search"}]`, `tool 1 is of type "web_search": only functions can be sent`}, {`[{"name":"a","parameters":` + deep + `}]`, "nested more than 64 deep"},
		{`[{"name":"a","description":"` + strings.Repeat("x", pipeline.MaxToolsBytes) + `"}]`, "the limit is 65536"}, {`[{"name":[]}]`, "tool 1: is a list of 0, not text"}, {`[null]`, "tool 1 is not an object"},
	} {
		if got, err := ParseTools(json.RawMessage(c.value)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %q, %v; want %q", c.value, got, err, c.want)
		}
	}
}

func TestAChatThatCannotBeSentIsExplained(t *testing.T) {
	long := "[" + strings.Repeat(`"a",`, pipeline.MaxMessages) + `"a"]`
	for _, c := range []struct {
		name, value, want string
		turn              int
	}{
		{"an unknown role", `[{"role":"user","content":"a"},{"role":"narrator","content":"b"}]`, `turn 2: the role "narrator" is not known: known are system (developer, system_prompt); user (human,`, 2},
		{"a role that is no text", `[{"role":1,"content":"a"}]`, `turn 1: the role "1" is not known`, 1},
		{"a role that is an object", `[{"author":{"role":"user"},"content":"a"}]`, "turn 1: its role is an object with role, not text", 1},
		{"no role", `[{"content":"a"}]`, "turn 1: it has no role: the key is role, from or speaker", 1},
		{"no content", `[{"role":"user"}]`, "turn 1: it has no content: the key is content, value or text", 1},
		{"content null", `[{"role":"user","content":null}]`, "turn 1: it has no content", 1},
		{"content an object", `[{"role":"user","content":{"a":1}}]`, `turn 1: a part of its content is of type "a", and only text can be sent`, 1},
		{"an image", `[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"x"}}]}]`, `turn 1: a part of its content is of type "image_url", and only text can be sent`, 1},
		{"an image without type", `[{"role":"user","content":[{"image_url":"x"}]}]`, `is of type "image_url"`, 1},
		{"images beside the content", `[{"role":"user","content":"a","images":["x"]}]`, "turn 1: it has images, and only text can be sent", 1},
		{"a part without text", `[{"role":"user","content":[{"type":"text"}]}]`, "turn 1: a part of its content is of type text and has no text", 1},
		{"a part that is nothing", `[{"role":"user","content":[{}]}]`, "has neither type nor text", 1},
		{"a part that is a number", `[{"role":"user","content":[5]}]`, "a part of its content is a number, not a text", 1},
		{"a turn that is a number", `[{"role":"user","content":"a"},5]`, "turn 2: it is a number, not an object with role and content", 2},
		{"a turn that is null", `[null]`, "turn 1: it is null", 1},
		{"a text among objects", `[{"role":"user","content":"a"},"b"]`, "turn 2: it is a text, not an object", 2},
		{"an object among texts", `["a",{"role":"user","content":"a"}]`, "turn 2: it is an object with role, content, and the turns before it are texts", 2},
		{"no turns", `[]`, "the chat has no turns", 0},
		{"only an empty system prompt", `[{"role":"system","content":""}]`, "the chat has no turns", 0},
		{"only an assistant", `[{"role":"assistant","content":"Hello!"}]`, "the chat has only turns of the assistant: no one asks for an answer", 0},
		{"only a system prompt and an assistant", `[{"role":"system","content":"s"},{"role":"assistant","content":"Hello!"}]`, "only turns of the assistant", 0},
		{"too many turns", long, "the chat has more than 1000 turns", 0},
		{"lists of different lengths", `{"role":["user","user"],"content":["a"]}`, "its lists role and content differ in length", 0},
		{"an object", `{"question":"a"}`, "it is an object with question, not a chat: a chat is a list of turns", 0},
		{"an object in an object", `{"messages":{"messages":[]}}`, "not a chat", 0},
		{"a text", `"Why?"`, "it is a text, not a chat", 0},
		{"a number", `5`, "it is a number, not a chat", 0},
		{"null", `null`, "it is null, not a chat", 0},
		{"no JSON", `[`, "the chat is not JSON", 0},
		{"arguments that are no JSON", `[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{'a': 1}"}}]}]`, `turn 2: the arguments of the call of "f": the text is not JSON`, 2},
		{"arguments that are a list", `[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[1]}}]}]`, `turn 2: the arguments of the call of "f" are no object`, 2},
		{"a call without name", `[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"function":{}}]}]`, "turn 2: a call of a tool has no name", 2},
		{"a call that is a number", `[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[5]}]`, "turn 2: a call of a tool is no object", 2},
		{"a turn that calls nothing", `[{"from":"human","value":"a"},{"from":"function_call","value":"[]"}]`, "turn 2: the call is empty", 2},
		{"a turn whose call is a text", `[{"from":"human","value":"a"},{"from":"function_call","value":"weather(Bonn)"}]`, "turn 2: the call: the text is not JSON", 2},
		{"broken tools", `{"messages":["a"],"tools":[5]}`, "tool 1 is not an object", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(json.RawMessage(c.value))
			var problem *Error
			if !errors.As(err, &problem) || !strings.Contains(err.Error(), c.want) || problem.Turn != c.turn {
				t.Errorf("got %+v, %v; want %q", got, err, c.want)
			}
			if errors.Is(err, ErrEmpty) {
				t.Error("it claims to be empty")
			}
		})
	}
}

func TestAChatWithNothingToAnswerComesWithItsMessages(t *testing.T) {
	got, err := Parse(json.RawMessage(`[{"role":"system","content":""},{"role":"user","content":" "},{"role":"assistant","content":"x"}]`))
	if !errors.Is(err, ErrEmpty) || err.Error() != "turn 2: it is empty, and it is the last one that is not the assistant's: there is nothing to answer" {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(Chat{Messages: []pipeline.Message{user(" ")}, Reference: "x", HasReference: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNoChatDoesNotLookLikeOne(t *testing.T) {
	for _, value := range []string{"", " ", "5", "null", "[]", "[1]", "[null]", "[", "[{", `"[]"`, `"text"`, `{}`, `{"messages":5}`, `{"messages":[]}`, `{"a":[{"role":"user"}]}`, `[{"name":"x"}]`, `{"messages":[1]}`, `{"messages":{"a":1}}`} {
		if IsChat(json.RawMessage(value)) {
			t.Errorf("%s looks like a chat", value)
		}
	}
}

func TestASystemPromptComesInFrontWhereThereIsNone(t *testing.T) {
	asked := []pipeline.Message{user("a")}
	if diff := cmp.Diff([]pipeline.Message{sys("s"), user("a")}, WithSystem(asked, "s")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, own := range [][]pipeline.Message{{sys("own"), user("a")}, {user("a"), sys("own"), user("b")}} {
		if diff := cmp.Diff(own, WithSystem(own, "s")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(asked, WithSystem(asked, "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPrefillIsTheBeginningOfTheAnswer(t *testing.T) {
	room := make([]pipeline.Message, 1, 4)
	room[0] = user("a")
	one, two := WithPrefill(room, "Sure"), WithPrefill(room, "Well")
	if pipeline.Prefill(one) != "Sure" || pipeline.Prefill(two) != "Well" || pipeline.Prefill(WithPrefill(room, "")) != "" {
		t.Errorf("%v %v", one, two)
	}
}

func Example() {
	chat, err := Parse(json.RawMessage(`[{"from": "human", "value": "Name a metal."}, {"from": "gpt", "value": "Iron."}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range WithSystem(chat.Messages, "Be brief.") {
		fmt.Printf("%s: %s\n", m.Role, m.Content)
	}
	fmt.Println("reference:", chat.Reference)
	// Output:
	// system: Be brief.
	// user: Name a metal.
	// reference: Iron.
}
