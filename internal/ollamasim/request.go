package ollamasim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
)

// The texts of Ollama's errors.
const (
	textTooLong = "the input length exceeds the context length"
	textFailed  = "model failed to load, this may be due to resource limitations or an internal error, check ollama server logs for details"
	textLimit   = "you have reached your session usage limit"
	textBusy    = "server busy, please try again.  maximum pending requests exceeded"
	textStopped = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details"
	textCrashed = "an error was encountered while running the model: unexpected EOF"
)

// A request is what both generating calls have in common.
type request struct {
	Model     string          `json:"model"`
	Messages  []message       `json:"messages"`
	Tools     []api.Tool      `json:"tools"`
	System    string          `json:"system"`
	Prompt    string          `json:"prompt"`
	Stream    *bool           `json:"stream"`
	Think     any             `json:"think"`
	Truncate  *bool           `json:"truncate"`
	Shift     *bool           `json:"shift"`
	KeepAlive json.RawMessage `json:"keep_alive"`
	Format    json.RawMessage `json:"format"`
	Options   map[string]any  `json:"options"`

	text func(*request, said) any // makes a line of the answer
	load bool                     // only the model is to be loaded

	prefill string // with which the answer has begun
}

// A message is one turn of a chat.
type message struct {
	Role      string          `json:"role"`
	Content   string          `json:"content"`
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// readChat makes the prompt of a chat, as the template of the model would. One that knows no tools
// leaves out what has to do with them.
func (req *request) readChat() {
	var parts []string
	if tools, err := json.Marshal(req.Tools); err == nil && len(req.Tools) > 0 {
		parts = append(parts, string(tools))
	}
	for _, m := range req.Messages {
		content := m.Content
		if knowsTools(req.Model) {
			content += string(m.ToolCalls)
		} else if m.Role == "tool" {
			continue
		}
		parts = append(parts, content)
	}
	req.Prompt = strings.Join(parts, "\n")
	if last := len(req.Messages) - 1; last >= 0 && req.Messages[last].Role == "assistant" {
		req.prefill = req.Messages[last].Content
	}
}

// knowsTools reports whether a model may be offered tools.
func knowsTools(model string) bool { return !strings.HasSuffix(base(model), "-plain") }

// A said is what a line of an answer says.
type said struct {
	text, thinking string
	calls          []api.ToolCall
	end            *api.Metrics // in the last line
	reason         string
}

func chatLine(req *request, it said) any {
	line := api.ChatResponse{Model: req.Model, CreatedAt: time.Now().UTC(), Message: api.Message{Role: "assistant", Content: it.text, Thinking: it.thinking, ToolCalls: it.calls}}
	if it.end != nil {
		line.Done, line.DoneReason, line.Metrics = true, it.reason, *it.end
	}
	return line
}

func generateLine(req *request, it said) any {
	line := api.GenerateResponse{Model: req.Model, CreatedAt: time.Now().UTC(), Response: it.text, Thinking: it.thinking}
	if it.end != nil {
		line.Done, line.DoneReason, line.Metrics = true, it.reason, *it.end
	}
	return line
}

// base is a model's name without its tag.
func base(name string) string {
	b, _, _ := strings.Cut(name, ":")
	return b
}

// canThink reports whether a model thinks: those whose name says so.
func canThink(name string) bool { return strings.HasSuffix(base(name), "-thinks") }

// badThink says what Ollama says of how a model is to think, or nothing.
func badThink(req *request, model string) string {
	if level, ok := req.Think.(string); ok {
		return fmt.Sprintf("think value %q is not supported for this model", level)
	}
	if req.Think != nil && req.Think != false && !canThink(model) {
		return fmt.Sprintf("%q does not support thinking", req.Model)
	}
	return ""
}

// badTools says what Ollama says of tools that a model does not know, or nothing.
func badTools(req *request, model string) string {
	if len(req.Tools) > 0 && !knowsTools(req.Model) {
		return "registry.ollama.ai/library/" + model + " does not support tools"
	}
	return ""
}

// isZero reports whether a keep_alive is zero: "0", 0 or "0s".
func isZero(keepAlive json.RawMessage) bool {
	return slices.Contains([]string{"0", `"0"`, `"0s"`}, string(keepAlive))
}
