package pipeline

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A ToolCall is what a model asks a tool for, in the form of OpenAI's API, but with the arguments
// as an object.
type ToolCall struct {
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type"` // "function"
	Function FunctionCall `json:"function"`
}

// A FunctionCall is the tool that is called, and with what.
type FunctionCall struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // a JSON object
}

// NewToolCall returns a call. Arguments that are missing are an empty object.
func NewToolCall(id, name string, arguments json.RawMessage) ToolCall {
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	return ToolCall{ID: id, Type: "function", Function: FunctionCall{name, arguments}}
}

// EncodeCalls returns a list of calls for a message; none are the empty text. The error says that
// the arguments of one are not JSON.
func EncodeCalls(calls []ToolCall) (JSON, error) {
	if len(calls) == 0 {
		return "", nil
	}
	data, err := Encode(calls)
	if err != nil {
		return "", fmt.Errorf("tool calls: %w", err)
	}
	return JSON(data), nil
}

// Calls returns the calls of the message. The error says that they cannot be read.
func (m Message) Calls() (calls []ToolCall, err error) {
	if m.ToolCalls == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(m.ToolCalls), &calls); err != nil {
		return nil, fmt.Errorf("tool calls: %w", err)
	}
	return calls, nil
}

// A turn is a message of an assistant that calls tools, as chats in files have it.
type turn struct {
	Role      Role            `json:"role"`
	Content   string          `json:"content"`
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// callPrefix begins each text of CallText.
const callPrefix = `{"role":"assistant","content":"`

// CallText returns the text of an answer that calls tools: the message of the assistant as JSON, in
// the form that chats have it. What the model said besides the calls is its content. So an answer
// stays one text for everything that stores, sends and shows answers.
func CallText(content string, calls JSON) string {
	data, err := Encode(turn{RoleAssistant, content, json.RawMessage(calls)})
	if err != nil { // the calls are no JSON
		return content + string(calls)
	}
	return string(data)
}

// MayCall reports whether the text of an answer may be one of CallText. What AnswerMessage makes of
// any other is the text itself.
func MayCall(text string) bool { return strings.HasPrefix(text, callPrefix) }

// AnswerMessage returns the message of an answer, as it stands in a chat. Only an answer to a
// request with tools may call some; there a text of CallText becomes the message that it was.
func AnswerMessage(text string, tools JSON) Message {
	message := Message{Role: RoleAssistant, Content: text}
	if tools == "" || !MayCall(text) {
		return message
	}
	var said turn
	if json.Unmarshal([]byte(text), &said) != nil || validateList("tool calls", JSON(said.ToolCalls)) != nil || len(said.ToolCalls) == 0 {
		return message
	}
	message.Content, message.ToolCalls = said.Content, JSON(said.ToolCalls)
	if CallText(message.Content, message.ToolCalls) != text { // the model wrote it itself
		return Message{Role: RoleAssistant, Content: text}
	}
	return message
}

// Conversation returns the messages of a request and its answer, as a chat has them: the beginning
// of the answer that the request asked for is part of the answer, and no turn of its own.
func Conversation(messages []Message, tools JSON, answer string) []Message {
	if Prefill(messages) != "" {
		messages = messages[:len(messages)-1]
	}
	return append(messages[:len(messages):len(messages)], AnswerMessage(answer, tools))
}
