package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Role is the speaker of a message.
type Role string

// The roles.
const (
	RoleSystem    Role = "system"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool" // what a tool returned
)

// A JSON is a JSON value as compact text. In the messages of the queue it travels as a string, so
// that whatever stands in it counts as one value of the message and is decoded where it is used.
type JSON string

// A Message is one turn of a conversation with a model.
type Message struct {
	Role    Role   `json:"role"`
	Content string `json:"content"`

	// Of a conversation with tools.
	ToolCalls  JSON   `json:"tool_calls,omitempty"`   // of an assistant: a list of ToolCall
	ToolName   string `json:"tool_name,omitempty"`    // of a tool's result: the tool
	ToolCallID string `json:"tool_call_id,omitempty"` // of a tool's result: the call that it answers
}

// User returns a conversation of one message by the user.
func User(content string) []Message { return []Message{{Role: RoleUser, Content: content}} }

// Bytes returns the length of everything in the message that the model reads.
func (m Message) Bytes() int {
	return len(m.Content) + len(m.ToolCalls) + len(m.ToolName) + len(m.ToolCallID)
}

// usesTools reports whether the message means something that only programs know that know tools.
func (m Message) usesTools() bool {
	return m.Role == RoleTool || m.ToolCalls != "" || m.ToolName != "" || m.ToolCallID != ""
}

// ContentBytes returns the sum of the lengths of the messages' contents, tool calls included.
func ContentBytes(messages []Message) int {
	sum := 0
	for _, m := range messages {
		sum += m.Bytes()
	}
	return sum
}

// Prefill returns with what the answer to these messages has to begin: the text of a last message
// of the assistant, which is not complete. It is empty where the answer is a turn of its own.
func Prefill(messages []Message) string {
	if len(messages) == 0 {
		return ""
	}
	last := messages[len(messages)-1]
	if last.Role != RoleAssistant || last.usesTools() {
		return ""
	}
	return last.Content
}

// lastContent returns the content of the message to which the answer replies, or nothing if there
// is none.
func lastContent(messages []Message) string {
	if len(messages) > 1 && Prefill(messages) != "" {
		messages = messages[:len(messages)-1]
	}
	if len(messages) == 0 {
		return ""
	}
	return messages[len(messages)-1].Content
}

// maxToolName bounds the names of tools and the ids of their calls.
const maxToolName = 256

// validateRequest returns what is wrong with the messages and the tools of one request.
func validateRequest(messages []Message, tools JSON) error {
	if len(messages) > MaxMessages {
		return fmt.Errorf("%d messages, the limit is %d", len(messages), MaxMessages)
	}
	if err := validateList("tools", tools); err != nil {
		return err
	}
	for i, m := range messages {
		if err := validateList("tool calls", m.ToolCalls); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if len(m.ToolName) > maxToolName || len(m.ToolCallID) > maxToolName {
			return fmt.Errorf("message %d: the name of its tool, or the id of its call, has more than %d bytes", i, maxToolName)
		}
	}
	return nil
}

func validateList(what string, list JSON) error {
	switch {
	case list == "":
		return nil
	case len(list) > MaxToolsBytes:
		return fmt.Errorf("its %s have %d bytes, the limit is %d", what, len(list), MaxToolsBytes)
	case list[0] != '[' || !utf8.ValidString(string(list)) || !json.Valid([]byte(list)):
		return errors.New("its " + what + " are not a list in JSON")
	}
	return nil
}
