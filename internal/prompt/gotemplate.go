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

// A goTemplate is a prompt in the language of Go's text/template, which runs of earlier versions
// have.
type goTemplate struct {
	template *template.Template
	budget   budget
}

func newGoTemplate(text string) (*goTemplate, error) {
	g := &goTemplate{}
	t, err := template.New("prompt").Option("missingkey=error").Funcs(g.budget.funcs()).Parse(text)
	if err == nil {
		t, err = g.budget.withBudget(t)
	}
	if err != nil {
		return nil, &pipeline.SpecError{Field: "prompt", Problem: strings.TrimPrefix(err.Error(), "template: ")}
	}
	g.template = t
	return g, nil
}

// render fills the template with a row.
func (g *goTemplate) render(row []byte) (string, error) {
	columns := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(row))
	decoder.UseNumber() // a number is shown as it came
	if err := decoder.Decode(&columns); err != nil {
		return "", fmt.Errorf("the row is not a JSON object: %w", err)
	}
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.budget.turns = 0
	var b strings.Builder
	if err := g.template.Execute(&limited{&b}, withNulls(columns)); err != nil {
		return "", fmt.Errorf("prompt template: %s; the row's columns are %s", templateProblem(err), names(columns))
	}
	return b.String(), nil
}

// toJSON is the template function json, which shows any value as JSON.
func toJSON(v any) (string, error) {
	b, err := pipeline.Encode(v)
	return string(b), err
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
