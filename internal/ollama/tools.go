package ollama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/types/model"

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

// toolModels remembers which models know tools.
type toolModels struct {
	mu    sync.Mutex
	known map[string]bool // by name
}

// withoutTools returns a failure if the request tells of calls, offers no tools, and its model has
// no place for calls in its template: there Ollama leaves them out without a word, and what the
// tools returned, too. Where tools are offered the server says itself that the model has none.
func (c *Client) withoutTools(ctx context.Context, req pipeline.Request) *pipeline.Failure {
	if req.Tools != "" || !req.UsesTools() {
		return nil
	}
	c.tools.mu.Lock()
	knows, asked := c.tools.known[req.Model]
	c.tools.mu.Unlock()
	if !asked {
		shown, err := c.show(ctx, req.Model)
		if err != nil {
			return nil // the request itself meets the same
		}
		// A server that does not list what a model can do is taken at its word once it answers.
		knows = len(shown.Capabilities) == 0 || slices.Contains(shown.Capabilities, model.CapabilityTools)
		c.tools.mu.Lock()
		if c.tools.known == nil {
			c.tools.known = map[string]bool{}
		}
		c.tools.known[req.Model] = knows
		c.tools.mu.Unlock()
	}
	if knows {
		return nil
	}
	return noTools(fmt.Sprintf("generate with model %s on %s", req.Model, c.URL()), errors.New("the chat has calls of tools, and this model does not support tools"))
}

// aboutTools returns the failure of a request that a server refused as it is. If it has tools, and
// the words are about these or about a schema, which a server makes of their parameters, then that
// is said of this row alone: others have other tools, or none.
func aboutTools(req pipeline.Request, f *pipeline.Failure, err error) *pipeline.Failure {
	var r *reply
	if req.Tools == "" || f.Class != pipeline.Fatal || !errors.As(err, &r) || r.status == 0 || !wrongRequest(r) ||
		!contains(r.all, "tool", "schema", "grammar", "parser for this template") {
		return f
	}
	return &pipeline.Failure{Class: pipeline.BadItem, Err: fmt.Errorf("%w: or the server refuses the tools of this row", f.Err)}
}

// noTools is for a request with tools and a model that knows none. Every other request is answered.
func noTools(where string, err error) *pipeline.Failure {
	return pipeline.Fail(pipeline.BadItem, "%s: %w: take a model with tools (`ollama show MODEL` lists what a model can do), or rows without them", where, err)
}
