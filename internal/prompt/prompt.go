// Package prompt makes the messages of a request from a row of the dataset: from templates over its
// columns, or from a column that holds a text or a chat.
package prompt

import (
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt/chat"
	"gleaner/internal/prompt/jinja"
)

// A Renderer renders the requests of a run.
type Renderer struct {
	spec    pipeline.Spec
	shared  []pipeline.Message
	system  *jinja.Template // of a system prompt that differs from row to row; nil: it is shared, or there is none
	prompt  *jinja.Template
	earlier *goTemplate // of a run of an earlier version
	checks  bool        // a request is refused that asks for other options than the run's
}

// A RowProblem is what is wrong with a row of which no request can be made.
type RowProblem struct {
	Kind    pipeline.BadKind
	Problem string // in words, with what to do about it
}

// Error returns the problem.
func (e *RowProblem) Error() string { return e.Problem }

func problem(kind pipeline.BadKind, format string, args ...any) error {
	return &RowProblem{kind, fmt.Sprintf(format, args...)}
}

// NewChecking returns a renderer for rows that are not loaded yet: one that is a request and asks
// for other options than the run's is refused.
func NewChecking(spec pipeline.Spec) (*Renderer, error) {
	r, err := New(spec)
	if err == nil {
		r.checks = true
	}
	return r, err
}

// New returns a renderer for the requests of a spec. An error is a *pipeline.SpecError.
func New(spec pipeline.Spec) (r *Renderer, err error) {
	r = &Renderer{spec: spec}
	system := spec.System
	if spec.Language == pipeline.Jinja && system != "" {
		if r.system, err = compile("system", system, spec); err != nil {
			return nil, err
		}
		if r.system.Constant() {
			if system, err = r.system.Render([]byte("{}")); err != nil {
				return nil, specError("system", err)
			}
			r.system = nil
		}
	}
	if system != "" && r.system == nil && !spec.Chats {
		r.shared = []pipeline.Message{{Role: pipeline.RoleSystem, Content: system}}
	}
	r.spec.System = system
	switch {
	case spec.Field != "":
	case spec.Language == pipeline.Jinja:
		r.prompt, err = compile("prompt", spec.Prompt, spec)
	default:
		r.earlier, err = newGoTemplate(spec.Prompt)
	}
	return r, err
}

func compile(name, text string, spec pipeline.Spec) (*jinja.Template, error) {
	t, err := jinja.Compile(name, text, spec.Vars)
	if err != nil {
		return nil, specError(name, err)
	}
	return t, nil
}

// specError names the field whose template is wrong.
func specError(field string, err error) error {
	return &pipeline.SpecError{Field: field, Problem: strings.TrimPrefix(strings.TrimPrefix(err.Error(), field+": "), field+", ")}
}

// Shared returns the messages with which every request of the run begins.
func (r *Renderer) Shared() []pipeline.Message { return r.shared }

// Render returns the messages for a row, which is one JSON object. They begin with those of Shared.
// An error says what is wrong with the row; a *RowProblem says of which kind that is.
func (r *Renderer) Render(row []byte) ([]pipeline.Message, error) {
	request, err := r.Request(row)
	return request.Messages, err
}

// Request returns the request for a row, with the same errors.
func (r *Renderer) Request(row []byte) (request pipeline.Rendered, err error) {
	if r.spec.Field != "" {
		request, err = r.byField(row)
	} else {
		request.Messages, err = r.byTemplate(row)
	}
	if err != nil {
		return pipeline.Rendered{}, err
	}
	if r.system != nil {
		system, err := r.system.Render(row)
		if err != nil {
			return pipeline.Rendered{}, problem(pipeline.NotRendered, "%v", err)
		}
		request.Messages = withSystem(request.Messages, system)
	}
	if bytes := pipeline.ContentBytes(request.Messages); bytes > pipeline.MaxPromptBytes+len(r.spec.System) {
		return pipeline.Rendered{}, problem(pipeline.TooLong, "the prompt has %d bytes, the limit is %d", bytes, pipeline.MaxPromptBytes)
	}
	request.Messages = chat.WithPrefill(request.Messages, r.spec.Prefill)
	return request, nil
}

func withSystem(messages []pipeline.Message, system string) []pipeline.Message {
	if strings.TrimSpace(system) == "" {
		return messages
	}
	return chat.WithSystem(messages, system)
}

func (r *Renderer) byTemplate(row []byte) (messages []pipeline.Message, err error) {
	var text string
	if r.earlier != nil {
		text, err = r.earlier.render(row)
	} else {
		text, err = r.prompt.Render(row)
	}
	if err != nil {
		return nil, problem(pipeline.NotRendered, "%v", err)
	}
	if strings.TrimSpace(text) == "" && !r.spec.SendEmpty {
		return nil, problem(pipeline.EmptyText, "the prompt is empty")
	}
	if len(text) > pipeline.MaxPromptBytes {
		return nil, problem(pipeline.TooLong, "the prompt has %d bytes, the limit is %d", len(text), pipeline.MaxPromptBytes)
	}
	return slices.Concat(r.shared, pipeline.User(text)), nil
}
