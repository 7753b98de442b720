package prompt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt/chat"
	"gleaner/internal/prompt/jinja"
)

// Begin settles the language of a spec's templates, before any row is known. What came from a file
// loses what editors put around it. A prompt in the language of Go's text/template is left as it
// is: only a run of an earlier version may have it, see RefuseGoTemplate.
func Begin(spec pipeline.Spec, promptFromFile, systemFromFile bool) pipeline.Spec {
	_, old := jinja.IsGoTemplate(spec.Prompt)
	if promptFromFile && !old {
		spec.Prompt = jinja.Clean(spec.Prompt)
	}
	if systemFromFile {
		spec.System = jinja.Clean(spec.System)
	}
	templated := strings.Contains(spec.System, "{{") || strings.Contains(spec.System, "{%") || strings.Contains(spec.System, "{#")
	if !old && (spec.Prompt != "" || templated) {
		spec.Language = pipeline.Jinja
	}
	return spec
}

// RefuseGoTemplate returns the error for a new run whose prompt is in the language of Go's
// text/template, with the spelling that works; nil for any other.
func RefuseGoTemplate(spec pipeline.Spec) error {
	better, old := jinja.IsGoTemplate(spec.Prompt)
	if spec.Language != "" || !old {
		return nil
	}
	advice := "write it as a Jinja template, such as 'Solve: {{ question }}'"
	if better != "" {
		advice = fmt.Sprintf("write it as %q", better)
	}
	return &pipeline.SpecError{Field: "prompt", Problem: "this is a template of Go, which runs of earlier versions have; prompts are Jinja templates now: " + advice}
}

// Settle settles what the first rows of a dataset decide: whether the field holds chats. A column
// that the spec names and none of them has is a *pipeline.SpecError. So is a prompt in which none
// of their columns occurs, with the spelling that works, unless the same prompt for all rows is
// wanted. A note says what looks like a column and is none.
func Settle(spec pipeline.Spec, rows [][]byte, same bool) (settled pipeline.Spec, note string, err error) {
	if len(rows) == 0 {
		return spec, "", nil
	}
	if spec.ID != "" {
		if _, err := firstValue(rows, "id", spec.ID); err != nil {
			return spec, "", err
		}
	}
	if spec.Field != "" {
		_, err := firstValue(rows, "field", spec.Field)
		if err == nil {
			spec.Chats, note = holdsChats(rows, spec.Field)
		}
		return spec, note, err
	}
	if spec.Language != pipeline.Jinja {
		return spec, "", nil
	}
	template, err := compile("prompt", spec.Prompt, spec)
	if err != nil {
		return spec, "", err
	}
	var columns []string
	for _, row := range rows {
		columns = appendNames(columns, row)
	}
	for name := range spec.Vars {
		if slices.Contains(columns, name) {
			return spec, "", &pipeline.SpecError{Field: "var", Problem: fmt.Sprintf("%s is a column of the rows, too: give the variable another name", name)}
		}
	}
	better, found := jinja.Suggest(spec.Prompt, columns)
	switch {
	case !template.Constant() && found:
		return spec, "the prompt has what looks like a column and is sent as it stands; if it is one, write: " + better, nil
	case !template.Constant(), same:
		return spec, "", nil
	case found:
		return spec, "", noColumn("write " + better)
	}
	return spec, "", noColumn(fmt.Sprintf("name one in braces, as in {{ %s }} (the columns are %s)", spelled(columns), strings.Join(columns, ", ")))
}

// holdsChats reports whether a column holds chats, as far as the first rows tell, which may also
// have texts there. Of a list of texts that is so only if it comes first: in a column of texts it
// is a mistake. A note says that the chats are texts of JSON, as in a table.
func holdsChats(rows [][]byte, column string) (chats bool, note string) {
	texts := false
	for _, row := range rows {
		value, found, err := chat.Lookup(row, column)
		switch {
		case err != nil || !found || string(value) == "null" || string(value) == "[]":
		case chat.IsChat(value) && (!texts || !chat.IsListOfTexts(value)):
			return true, ""
		case !texts && chat.InText(value):
			return true, fmt.Sprintf("column %q holds chats as texts of JSON, which are sent as chats: --prompt '{{ %s }}' sends the texts", column, spelled([]string{column}))
		default:
			texts = true
		}
	}
	return false, ""
}

// firstValue returns the first value of a column, or the error that none of the rows has it.
func firstValue(rows [][]byte, flag, column string) (json.RawMessage, error) {
	for _, row := range rows {
		if value, found, err := chat.Lookup(row, column); err == nil && found {
			return value, nil
		}
	}
	return nil, &pipeline.SpecError{Field: flag, Problem: fmt.Sprintf("no row has a column %q: the columns are %s", column, columnsOf(rows[0]))}
}

func noColumn(advice string) error {
	return &pipeline.SpecError{Field: "prompt", Problem: "no column occurs in it, so all rows would get the same prompt: " + advice + ", or allow it with --same-prompt"}
}

// spelled returns the first column as a template names it.
func spelled(columns []string) string {
	if len(columns) == 0 {
		return "question"
	}
	odd := func(r rune) bool {
		return r != '_' && r != '.' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}
	if name := columns[0]; name != "" && strings.IndexFunc(name, odd) < 0 {
		return name
	}
	return fmt.Sprintf("row['%s']", columns[0])
}

// appendNames appends the columns of a row that are not there yet, in their order.
func appendNames(columns []string, row []byte) []string {
	decoder := json.NewDecoder(strings.NewReader(string(row)))
	if _, err := decoder.Token(); err != nil {
		return columns
	}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return columns
		}
		if text, ok := name.(string); ok && !slices.Contains(columns, text) {
			columns = append(columns, text)
		}
	}
	return columns
}
