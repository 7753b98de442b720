// Package jinja makes texts of rows by templates of Jinja, as people know them from Python. gonja
// cuts a template into its tags; what the tags hold is read and calculated here, because a prompt
// has rules of its own: a column that a row lacks is an error where it is shown and false in a
// condition, values show as they came and in the order of the row, nothing in a row is taken for a
// template, and every template ends. What differs from Python's Jinja2 is in docs/jinja.md.
package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// engineFailed is the error for a mistake of this package or of gonja.
const engineFailed = "the template engine failed, which is its mistake"

// A Template makes a text of a row. It may be used by several goroutines at once.
type Template struct {
	name     string
	text     string
	steps    []*step
	tables   *tables
	vars     map[string]value
	analysis *analysis
}

// Compile parses a template. The vars are further names that it may use, as JSON: lists of
// examples, constants; they beat columns of the same name. The name says in messages which
// template it is, "prompt" or "system". Line ends become \n; a last one stays, which Clean cuts
// from the text of a file. An error is an *Error.
func Compile(name, text string, vars map[string]json.RawMessage) (t *Template, err error) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	t = &Template{name: name, text: text, tables: newTables(), vars: map[string]value{}}
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%s: %v", engineFailed, problem)
		}
		if err != nil {
			t, err = nil, t.explain(err)
		}
	}()
	if len(text) > maxTemplate {
		return t, problem("it has %d bytes, the limit is %d", len(text), maxTemplate)
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !isIdentifier(name) || isKeyword(name) {
			return t, problem("--var %s: that is no name that a template can use // a name has letters, digits and _, and begins with no digit", short(name))
		}
		if t.vars[name], err = decodeShared(vars[name]); err != nil {
			return t, problem("--var %s: %v", name, err)
		}
	}
	source, err := scan(text)
	if err != nil {
		return t, err
	}
	if t.steps, err = compile(source); err != nil {
		return t, err
	}
	t.analysis, err = analyse(t.steps, t.tables, t.vars)
	return t, err
}

// explain returns any error of this template as an *Error.
func (t *Template) explain(err error) error {
	e := &Error{Template: t.name, Problem: err.Error()}
	var l *located
	if errors.As(err, &l) {
		e.Problem, e.Advice, e.Missing = l.problem, l.advice, l.missing
		if l.offset >= 0 {
			e.Line, e.Column = position(t.text, l.offset)
		}
	}
	if translated, yes := IsGoTemplate(t.text); yes && t.analysis == nil {
		e.Advice = "this is a template of Go; in Jinja it is " + translated
	}
	e.Problem, e.Advice = bounded(e.Problem), bounded(e.Advice)
	return e
}

// bounded returns a message that is no longer than can be read.
func bounded(message string) string {
	const most = 4000
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "…"
}

// Render returns what the template makes of a row, which is one JSON object. An error is an *Error
// and says what is wrong with the row or the template.
func (t *Template) Render(data []byte) (text string, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%s: %v", engineFailed, problem)
		}
		if err != nil {
			text, err = "", t.explain(err)
		}
	}()
	r, err := parseRow(data)
	if err != nil {
		return "", err
	}
	out := &strings.Builder{}
	out.Grow(len(t.text) + len(data)/2)
	s := &state{tables: t.tables, row: r, vars: t.vars, scope: &scope{}, out: out}
	if err := s.run(t.steps); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Uses returns which of these columns occur in the template, in their order: by their names, by
// row['their name'], in loops and behind set. A template that uses row as a whole uses all.
func (t *Template) Uses(columns []string) (used []string) {
	a := t.analysis
	found := map[string]bool{}
	for path := range a.free {
		if exact, ok := strings.CutPrefix(path, exactly); ok {
			found[exact] = true
			continue
		}
		root, _, _ := strings.Cut(path, ".")
		if _, isVar := t.vars[root]; isVar {
			continue
		}
		for end := len(path); end >= 0; end = strings.LastIndexByte(path[:end], '.') {
			if slices.Contains(columns, path[:end]) { // the longest name wins
				found[path[:end]] = true
				break
			}
		}
	}
	for _, column := range columns {
		if found[column] || a.whole {
			used = append(used, column)
		}
	}
	return used
}

// Constant says whether no column of any row can change what the template makes.
func (t *Template) Constant() bool {
	for path := range t.analysis.free {
		root, _, _ := strings.Cut(path, ".")
		_, isVar := t.vars[root]
		_, isFunction := t.tables.functions[root]
		if !isVar && !isFunction {
			return false
		}
	}
	return !t.analysis.whole
}

// Clean returns the text of a prompt file as it is meant: without a byte order mark, with \n as
// line ends, and without one last line end.
func Clean(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.TrimSuffix(text, "\n")
}
