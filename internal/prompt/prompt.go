// Package prompt makes the messages of a request from a row of the dataset. They consist of the
// run's system prompt and of a user message, which is a column or a template over the row's
// columns.
package prompt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"gleaner/internal/pipeline"
)

// A Renderer renders the requests of a run.
type Renderer struct {
	shared   []pipeline.Message
	field    string
	template *template.Template
	budget   budget
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

// New returns a renderer for the requests of a spec. An error is a *pipeline.SpecError.
func New(spec pipeline.Spec) (*Renderer, error) {
	r := &Renderer{field: spec.Field}
	if spec.System != "" {
		r.shared = []pipeline.Message{{Role: pipeline.RoleSystem, Content: spec.System}}
	}
	if spec.Field != "" {
		return r, nil
	}
	t, err := template.New("prompt").Option("missingkey=error").Funcs(r.budget.funcs()).Parse(spec.Prompt)
	if err == nil {
		t, err = r.budget.withBudget(t)
	}
	if err != nil {
		return nil, &pipeline.SpecError{Field: "prompt", Problem: strings.TrimPrefix(err.Error(), "template: ")}
	}
	r.template = t
	return r, nil
}

// toJSON is the template function json, which shows any value as JSON.
func toJSON(v any) (string, error) {
	b, err := pipeline.Encode(v)
	return string(b), err
}

// Shared returns the messages with which every request of the run begins.
func (r *Renderer) Shared() []pipeline.Message { return r.shared }

// Render returns the messages for a row, which is one JSON object. They begin with those of Shared.
// An error says what is wrong with the row.
func (r *Renderer) Render(row []byte) ([]pipeline.Message, error) {
	columns := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(row))
	decoder.UseNumber() // a number is shown as it came
	if err := decoder.Decode(&columns); err != nil {
		return nil, fmt.Errorf("the row is not a JSON object: %w", err)
	}
	prompt, err := r.fill(columns)
	switch {
	case err != nil:
		return nil, err
	case strings.TrimSpace(prompt) == "":
		return nil, problem(pipeline.EmptyText, "the prompt is empty")
	case len(prompt) > pipeline.MaxPromptBytes:
		return nil, problem(pipeline.TooLong, "the prompt has %d bytes, the limit is %d", len(prompt), pipeline.MaxPromptBytes)
	}
	return slices.Concat(r.shared, pipeline.User(prompt)), nil
}

func (r *Renderer) fill(columns map[string]any) (string, error) {
	if r.field == "" {
		r.budget.mu.Lock()
		defer r.budget.mu.Unlock()
		r.budget.turns = 0
		var b strings.Builder
		if err := r.template.Execute(&limited{&b}, withNulls(columns)); err != nil {
			return "", fmt.Errorf("prompt template: %s; the row's columns are %s", templateProblem(err), names(columns))
		}
		return b.String(), nil
	}
	value, ok := columns[r.field]
	if !ok {
		return "", fmt.Errorf("there is no column %q; the row's columns are %s", r.field, names(columns))
	}
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return "", fmt.Errorf("column %q is not text; use a prompt template such as {{json (index . %q)}}", r.field, r.field)
}

// A null is JSON's null in a template: it shows as nothing, is false in a condition, and is null as
// JSON. For a nil value text/template would write "<no value>" into the prompt.
type null string

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// withNulls replaces nil in a decoded JSON value.
func withNulls(value any) any {
	switch v := value.(type) {
	case nil:
		return null("")
	case map[string]any:
		for name, inner := range v {
			v[name] = withNulls(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = withNulls(inner)
		}
	}
	return value
}

// A limited writer stops a template whose output would be endless.
type limited struct{ b *strings.Builder }

func (l *limited) Write(data []byte) (int, error) {
	if l.b.Len()+len(data) > maxText {
		return 0, fmt.Errorf("the prompt has more than %d bytes", pipeline.MaxPromptBytes)
	}
	return l.b.Write(data)
}

// templateProblem returns the message of text/template without the position, which is of no use in
// a template of one line.
func templateProblem(err error) string {
	if _, problem, ok := strings.Cut(err.Error(), ": executing \"prompt\" at "); ok {
		return problem
	}
	return err.Error()
}

func names(columns map[string]any) string {
	list := make([]string, 0, len(columns))
	for name := range columns {
		list = append(list, name)
	}
	if len(list) == 0 {
		return "none"
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
