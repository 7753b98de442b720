package prompt

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt/chat"
)

// toolsColumn is the column with the tools of a chat, as TRL and others have it.
const toolsColumn = "tools"

// byField makes the request from the column that the run names: a text, or a chat.
func (r *Renderer) byField(row []byte) (pipeline.Rendered, error) {
	if r.spec.Requests != nil {
		return r.byRequest(row)
	}
	value, found, err := chat.Lookup(row, r.spec.Field)
	switch {
	case err != nil:
		return pipeline.Rendered{}, problem(pipeline.NotRendered, "%v", err)
	case !found:
		return pipeline.Rendered{}, problem(pipeline.NotRendered, "there is no column %q; the row's columns are %s", r.spec.Field, columnsOf(row))
	case r.spec.Chats && (value[0] == '[' || value[0] == '{' || chat.InText(value)):
		return r.byChat(row, value)
	}
	text, err := chat.Text(value)
	var other *chat.NotTextError
	switch {
	case errors.As(err, &other) && other.Kind == "null":
		return pipeline.Rendered{}, problem(pipeline.NullText, "column %q is null", r.spec.Field)
	case err != nil:
		return pipeline.Rendered{}, problem(pipeline.NotText, "column %q %v; show it with a template such as --prompt '{{ row[%q] }}'", r.spec.Field, err, r.spec.Field)
	case strings.TrimSpace(text) == "" && !r.spec.SendEmpty:
		return pipeline.Rendered{}, problem(pipeline.EmptyText, "the prompt is empty")
	case len(text) > pipeline.MaxPromptBytes:
		return pipeline.Rendered{}, problem(pipeline.TooLong, "the prompt has %d bytes, the limit is %d", len(text), pipeline.MaxPromptBytes)
	}
	return pipeline.Rendered{Messages: slices.Concat(r.shared, r.opened(pipeline.User(text)))}, nil
}

// byChat makes the request from a chat, with the tools that stand in it or beside it.
func (r *Renderer) byChat(row []byte, value json.RawMessage) (pipeline.Rendered, error) {
	found, err := chat.Parse(value)
	if err := r.chatProblem(err, "column %q: %v", r.spec.Field, err); err != nil {
		return pipeline.Rendered{}, err
	}
	if err := r.mediaBeside(row, found.Messages); err != nil {
		return pipeline.Rendered{}, err
	}
	tools := found.Tools
	for _, column := range []string{besideField(r.spec.Field), toolsColumn} {
		beside, there, err := chat.Lookup(row, column)
		if tools != "" || err != nil || !there {
			continue
		}
		if tools, err = chat.ParseTools(beside); err != nil {
			return pipeline.Rendered{}, problem(pipeline.NotRendered, "column %q: %v", column, err)
		}
	}
	return pipeline.Rendered{Messages: r.opened(found.Messages), Tools: tools, Reference: found.Reference}, nil
}

// mediaBeside returns an error if a chat speaks of an image, or the like, that stands in a column
// of its own, as <image> in LLaVA's conversations.
func (r *Renderer) mediaBeside(row []byte, messages []pipeline.Message) error {
	for _, kind := range []string{"image", "video", "audio"} {
		said := slices.IndexFunc(messages, func(m pipeline.Message) bool { return strings.Contains(m.Content, "<"+kind+">") })
		if said < 0 {
			continue
		}
		for _, column := range []string{kind, kind + "s"} {
			value, there, err := chat.Lookup(row, column)
			if err == nil && there && !slices.Contains([]string{"null", "[]", `""`, "{}"}, string(value)) {
				return problem(pipeline.NotRendered, "column %q has what <%s> in its chat stands for, and only text can be sent", column, kind)
			}
		}
	}
	return nil
}

// besideField returns the path of the tools that stand beside a chat that is inside of a column.
func besideField(field string) string {
	return field[:strings.LastIndexByte(field, '.')+1] + toolsColumn
}

// chatProblem returns what is wrong with a chat, in these words; nil if it can be sent.
func (r *Renderer) chatProblem(err error, format string, args ...any) error {
	switch isEmpty := errors.Is(err, chat.ErrEmpty); {
	case err == nil, isEmpty && r.spec.SendEmpty:
		return nil
	case isEmpty:
		return problem(pipeline.EmptyText, format, args...)
	}
	return problem(pipeline.NotRendered, format, args...)
}

// opened puts the system prompt of the run in front where there is none.
func (r *Renderer) opened(messages []pipeline.Message) []pipeline.Message {
	if r.system != nil || r.spec.System == "" || r.shared != nil {
		return messages
	}
	return chat.WithSystem(messages, r.spec.System)
}

// columnsOf names the columns of a row.
func columnsOf(row []byte) string {
	columns := map[string]any{}
	if json.Unmarshal(row, &columns) != nil {
		return "none"
	}
	return names(columns)
}
