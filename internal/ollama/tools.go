package ollama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ollama/ollama/api"

	"gleaner/internal/pipeline"
)

// messagesOf returns the messages of a request in Ollama's form. The error says that the calls of
// one cannot be read.
//
// Ollama makes one message of several by the assistant in a row, and loses the calls of all but the
// first. So they are made one here, in the same way, if one of them has calls.
func messagesOf(messages []pipeline.Message) ([]api.Message, error) {
	out := make([]api.Message, 0, len(messages))
	for i, m := range messages {
		calls, err := callsOf(m)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
		next := api.Message{Role: string(m.Role), Content: m.Content, ToolCalls: calls, ToolName: m.ToolName, ToolCallID: m.ToolCallID}
		if last := len(out) - 1; last >= 0 && m.Role == pipeline.RoleAssistant && out[last].Role == next.Role && len(out[last].ToolCalls)+len(calls) > 0 {
			join(&out[last], next)
			continue
		}
		out = append(out, next)
	}
	return out, nil
}

// join appends a message to the one before it.
func join(to *api.Message, next api.Message) {
	if to.Content != "" && next.Content != "" {
		to.Content += "\n\n"
	}
	to.Content += next.Content
	for _, call := range next.ToolCalls {
		call.Function.Index = len(to.ToolCalls)
		to.ToolCalls = append(to.ToolCalls, call)
	}
}

// callsOf returns the calls of a message. Their arguments keep their order, and numbers their
// digits.
func callsOf(m pipeline.Message) (out []api.ToolCall, err error) {
	calls, err := m.Calls()
	if err != nil {
		return nil, err
	}
	for i, call := range calls {
		to := api.ToolCall{ID: call.ID, Function: api.ToolCallFunction{Index: i, Name: call.Function.Name, Arguments: api.NewToolCallFunctionArguments()}}
		in := json.NewDecoder(bytes.NewReader(call.Function.Arguments))
		if token, err := in.Token(); err != nil || token != json.Delim('{') {
			return nil, fmt.Errorf("the arguments of the call of %.64q are no object", call.Function.Name)
		}
		for in.More() {
			name, err := in.Token()
			if err != nil {
				return nil, err
			}
			var value json.RawMessage
			if err := in.Decode(&value); err != nil {
				return nil, err
			}
			to.Function.Arguments.Set(fmt.Sprint(name), value)
		}
		out = append(out, to)
	}
	return out, nil
}

// A saidCall is a call of a tool in an answer.
type saidCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"` // an object; from some gateways, a text that holds one
	} `json:"function"`
}

// read returns the call. The error says what it lacks.
func (s saidCall) read() (pipeline.ToolCall, error) {
	arguments := bytes.TrimSpace(s.Function.Arguments)
	var text string
	if len(arguments) > 0 && arguments[0] == '"' && json.Unmarshal(arguments, &text) == nil {
		arguments = bytes.TrimSpace([]byte(text))
	}
	if string(arguments) == "null" {
		arguments = nil
	}
	switch {
	case s.Function.Name == "":
		return pipeline.ToolCall{}, errors.New("it names no tool")
	case len(arguments) > 0 && (arguments[0] != '{' || !json.Valid(arguments)):
		return pipeline.ToolCall{}, errors.New("its arguments are no object")
	}
	return pipeline.NewToolCall(s.ID, s.Function.Name, arguments), nil
}
