// Package chat makes the messages of a request from a chat that a row holds, in the forms that
// datasets have: OpenAI's messages, ShareGPT's conversations and their relatives, and a list of
// texts. It finds columns by their names and by paths into them, and it reads the lines of OpenAI's
// batch API. It works on rows as they came and decodes no more of a row than it needs.
package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
)

// ErrEmpty is wrapped by the error of a chat whose last turn says nothing, so that there is nothing
// to answer. The chat that comes with the error is complete, for those who want to send it.
var ErrEmpty = errors.New("there is nothing to answer")

// A Chat is what a request asks, with what the row has as its answer.
type Chat struct {
	Messages []pipeline.Message // at least one; the last is no turn of the assistant
	// Reference is the answer of the row: the turns of the assistant with which the chat ended, and
	// which were cut off. One that calls tools has the form of pipeline.CallText.
	Reference    string
	HasReference bool
	Tools        pipeline.JSON // that stand beside the turns; ParseTools reads those of a column
}

// An Error says what is wrong with a chat.
type Error struct {
	Turn    int    // from 1; 0: the chat as a whole
	Problem string // in words
	err     error
}

// Error begins with the number of the turn.
func (e *Error) Error() string {
	if e.Turn == 0 {
		return e.Problem
	}
	return fmt.Sprintf("turn %d: %s", e.Turn, e.Problem)
}

// Unwrap returns ErrEmpty or nil.
func (e *Error) Unwrap() error { return e.err }

func problem(turn int, format string, args ...any) error {
	return &Error{Turn: turn, Problem: fmt.Sprintf(format, args...)}
}

// Parse makes messages from the JSON of a column: a list of turns, each an object with its role and
// its content, or a list of texts that alternate and begin with the user; or an object that holds
// such a list. Turns stay as they are, also several of one role in a row. The names of the roles
// are translated; a key that is null counts as absent, as in what Parquet holds; system prompts
// without text are left out; the parts of a content are joined, on lines of their own unless they
// bring their own white space. A call of a tool that is a turn of its own belongs to the turn of
// the assistant before it. An error is an *Error.
func Parse(value json.RawMessage) (Chat, error) {
	if len(value) > pipeline.MaxRowBytes {
		return Chat{}, problem(0, "the chat has %d bytes, the limit is %d", len(value), pipeline.MaxRowBytes)
	}
	if !json.Valid(value) {
		return Chat{}, problem(0, "the chat is not JSON")
	}
	value = bytes.Trim(bytes.ToValidUTF8(value, []byte("\uFFFD")), whitespace)
	if inner, ok := chatInText(value); ok {
		value = inner
	}
	p := &parser{}
	if err := p.parse(value); err != nil {
		return Chat{}, err
	}
	return p.finish()
}

// chatInText returns the chat that a text holds, as in the cell of a table.
func chatInText(value []byte) (json.RawMessage, bool) {
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return nil, false
	}
	inner := bytes.Trim([]byte(text), whitespace)
	return inner, len(inner) > 0 && (inner[0] == '[' || inner[0] == '{') && json.Valid(inner)
}

// IsChat reports whether a value looks like a chat, by its beginning: a list of texts or of turns,
// or an object that holds one. A text is none, whatever stands in it.
func IsChat(value json.RawMessage) bool {
	value = bytes.TrimLeft(value, whitespace)
	if len(value) == 0 {
		return false
	}
	switch value[0] {
	case '[':
		i := skipSpace(value, 1)
		if i >= len(value) {
			return false
		}
		return value[i] == '"' || value[i] == '{' && isTurn(value[i:])
	case '{':
		list, _, err := turnsOf(value)
		return err == nil && list != nil && (list[0] == '{' || IsChat(list))
	}
	return false
}

// IsListOfTexts reports whether a value begins as a list of texts, which is a chat of turns that
// alternate.
func IsListOfTexts(value json.RawMessage) bool {
	value = bytes.TrimLeft(value, whitespace)
	i := skipSpace(value, min(1, len(value)))
	return i < len(value) && value[0] == '[' && value[i] == '"'
}

// InText reports whether a text holds the JSON of a chat, beyond doubt: a list of objects, or an
// object with one, of which the first has a role that is known, and a content.
func InText(value json.RawMessage) bool {
	inner, ok := chatInText(bytes.Trim(value, whitespace))
	if ok && inner[0] == '{' {
		inner, _, _ = turnsOf(inner)
	}
	if !ok || len(inner) == 0 || inner[0] != '[' {
		return false
	}
	known := false
	_ = eachElement(inner, func(_ int, turn []byte) error {
		var hasRole, hasContent bool
		if turn[0] == '{' {
			_ = eachMember(turn, func(key string, value []byte) error {
				if name, err := Text(value); err == nil && (key == "role" || key == "from") {
					_, hasRole = kindOf(name)
				}
				hasContent = hasContent || contentRank(key) > 0
				return nil
			})
		}
		known = hasRole && hasContent
		return errDone
	})
	return known
}

// isTurn reports whether an object has a role, or names one as its key.
func isTurn(object []byte) bool {
	found := false
	_ = eachMember(object, func(key string, value []byte) error { // what is broken is no turn
		_, isRole := kindOf(key)
		found = found || isRole || roleRank(key) > 0
		return nil
	})
	return found
}

// WithSystem returns the messages with a system prompt in front, if there is none among them. An
// empty one is no system prompt.
func WithSystem(messages []pipeline.Message, system string) []pipeline.Message {
	if system == "" || slices.ContainsFunc(messages, func(m pipeline.Message) bool { return m.Role == pipeline.RoleSystem }) {
		return messages
	}
	return append([]pipeline.Message{{Role: pipeline.RoleSystem, Content: system}}, messages...)
}

// WithPrefill returns the messages with the beginning of their answer, see pipeline.Prefill. An
// empty one is none.
func WithPrefill(messages []pipeline.Message, prefill string) []pipeline.Message {
	if prefill == "" {
		return messages
	}
	return append(messages[:len(messages):len(messages)], pipeline.Message{Role: pipeline.RoleAssistant, Content: prefill})
}

// finish cuts off the answer that the chat has, and checks what is left.
func (p *parser) finish() (Chat, error) {
	p.nameResults()
	all := p.messages
	asked := len(all)
	for asked > 0 && all[asked-1].Role == pipeline.RoleAssistant {
		asked--
	}
	chat := Chat{Messages: all[:asked:asked], Tools: p.tools}
	var err error
	if chat.Reference, err = reference(all[asked:]); err != nil {
		return Chat{}, problem(0, "%v", err)
	}
	chat.HasReference = chat.Reference != ""
	asks := func(m pipeline.Message) bool {
		return m.Role != pipeline.RoleSystem && m.Role != pipeline.RoleAssistant
	}
	switch {
	case len(all) == 0:
		return Chat{}, problem(0, "the chat has no turns")
	case asked == 0, asked < len(all) && !slices.ContainsFunc(chat.Messages, asks):
		return Chat{}, problem(0, "the chat has only turns of the assistant: no one asks for an answer")
	case strings.TrimSpace(all[asked-1].Content) == "":
		return chat, &Error{p.turns[asked-1], fmt.Sprintf("it is empty, and it is the last one that is not the assistant's: %v", ErrEmpty), ErrEmpty}
	}
	return chat, nil
}

// reference returns the turns with which a chat ended as one answer.
func reference(turns []pipeline.Message) (string, error) {
	var texts []string
	var calls []pipeline.ToolCall
	for _, m := range turns {
		if m.Content != "" {
			texts = append(texts, m.Content)
		}
		more, err := m.Calls()
		if err != nil {
			return "", err
		}
		calls = append(calls, more...)
	}
	text := strings.Join(texts, "\n\n")
	encoded, err := pipeline.EncodeCalls(calls)
	if err != nil || encoded == "" {
		return text, err
	}
	return pipeline.CallText(text, encoded), nil
}
