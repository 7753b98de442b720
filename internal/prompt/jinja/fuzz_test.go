package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// holds fails a test if a template that may be anything does something else than to make a text or
// to be refused.
func holds(t interface{ Fatalf(string, ...any) }, template, row string) {
	start := time.Now()
	defer func() {
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("%q ends after %v", template, took)
		}
	}()
	fine := func(err error) bool {
		var e *Error
		if err != nil && (!errors.As(err, &e) || strings.HasPrefix(e.Problem, engineFailed)) {
			t.Fatalf("%q with %q: %v", template, row, err)
		}
		return err == nil
	}
	IsGoTemplate(template)
	Suggest(template, []string{"q", "a b"})
	c, err := Compile("prompt", template, map[string]json.RawMessage{"shots": json.RawMessage(`[{"a": 1.50}, "x"]`)})
	if !fine(err) {
		return
	}
	columns := []string{"q", "n", "xs", "m", "a.b", "Question Text", "row"}
	used := c.Uses(columns)
	text, err := c.Render([]byte(row))
	if !fine(err) {
		return
	}
	if len(text) > maxText {
		t.Fatalf("%q makes %d bytes", template, len(text))
	}
	if again, err := c.Render([]byte(row)); err != nil || again != text {
		t.Fatalf("%q makes %q and then %q, %v", template, text, again, err)
	}
	if c.Constant() {
		if len(used) > 0 {
			t.Fatalf("%q is constant and uses %q", template, used)
		}
		if other, err := c.Render([]byte(`{}`)); err != nil || other != text {
			t.Fatalf("%q is constant and makes %q and %q, %v", template, text, other, err)
		}
	}
	unusedColumnsDoNotCount(t, c, row, text)
}

// unusedColumnsDoNotCount renders without the columns that a template does not use.
func unusedColumnsDoNotCount(t interface{ Fatalf(string, ...any) }, c *Template, row, text string) {
	var columns map[string]json.RawMessage
	if json.Unmarshal([]byte(row), &columns) != nil {
		return
	}
	names := make([]string, 0, len(columns))
	for name := range columns {
		names = append(names, name)
	}
	used := c.Uses(names)
	if len(used) == len(names) {
		return
	}
	var kept []string
	for _, name := range names {
		if slices.Contains(used, name) {
			key, _ := json.Marshal(name)
			kept = append(kept, fmt.Sprintf("%s: %s", key, columns[name]))
		}
	}
	less := "{" + strings.Join(kept, ", ") + "}"
	if other, err := c.Render([]byte(less)); err != nil || other != text {
		t.Fatalf("%q uses %q of %q and makes %q with them, %q with all, %v", c.text, used, names, other, text, err)
	}
}

const fuzzRow = `{"q": "Wörter <b>", "n": 3, "d": 1.50, "xs": [3, 1, "b", null], "m": {"k": 1, "l": [1]}, "a.b": "dot", "Question Text": "t", "big": 123456789012345678901}`

func FuzzTemplate(f *testing.F) {
	for template := range strings.SplitSeq(strings.Join([]string{
		"{{ q }}", "{% for x in xs %}{{ loop.index }}{{ x }}{% endfor %}", "{% if n > 2 and q is defined %}{{ q|upper }}{% else %}{{ m.k }}{% endif %}",
		"{% macro f(a, b=1) %}{{ a ~ b }}{{ caller() if caller }}{% endmacro %}{% call f(1) %}x{% endcall %}", "{% set ns = namespace(a=1) %}{% set ns.a = ns.a * 2 %}{{ ns.a }}",
		"{% raw %}{{ x }}{% endraw %}{# c #}{{- q -}} {%- if n -%} a {%- endif -%}", "{{ xs[::-1]|join(', ') }}{{ m|tojson(2) }}{{ '%05.1f'|format(n) }}{{ '{:>5}'.format(q) }}",
		"{% for g, v in [m]|groupby('k') %}{{ v|length }}{% endfor %}{{ xs|batch(2)|list }}{{ q|wordwrap(3)|truncate(5) }}", "{% with a = 1 %}{% filter title %}{{ a }}{% endfilter %}{% endwith %}",
		"{% for x in xs recursive %}{{ loop(m.l) }}{% break %}{% endfor %}", "{{ {'a': 1, 2: [3, (4,)]}['a'] // 2 ** -1 % 3 }}", "{{range $i, $c := .xs}}{{$c}}{{end}}", "{{ row['Question Text'] }}{{ row }}",
		"{{ a.b }}{{ shots[0].a }}{{ q.split()|map('upper')|select('string')|sort|unique|list }}", "{% set x %}a{% endset %}{% do shots %}{{ x|d(1, true) }}{% block b %}{% endblock %}",
	}, "\x00"), "\x00") {
		f.Add(template, fuzzRow)
	}
	f.Fuzz(func(t *testing.T, template, row string) { holds(t, template, row) })
}

// pieces are what random templates are made of.
func pieces() []string {
	all := []string{"{{ ", " }}", "{% ", " %}", "{%- ", " -%}", "{# ", " #}", "if", "for", "in", "else", "endif", "endfor", "set", "macro", "endmacro", "call", "endcall", "filter", "endfilter", "with", "endwith", "raw", "endraw", "do", "break",
		"q", "n", "d", "xs", "m", "row", "a.b", "loop", "shots", "big", "x", " ", "\n", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", "~", "+", "-", "*", "/", "//", "%", "**", "==", "<", "=", "is", "not", "and", "or", "'a'", "\"", "'", "1", "2.5", "-3", "100000000", "é", "\\"}
	t := newTables()
	for _, table := range []map[string]handler{t.filters, t.tests, t.textMethods, t.listMethods, t.dictMethods} {
		all = append(all, sortedNames(table)...)
	}
	return append(all, "range", "dict", "namespace", "joiner", "cycler")
}

func TestRandomTemplatesMakeATextOrAreRefused(t *testing.T) {
	all := pieces()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(all), 1, 20).Draw(t, "parts")
		holds(t, strings.Join(parts, " "), fuzzRow)
		holds(t, "{{ "+strings.Join(parts, "")+" }}", fuzzRow)
	})
}

// Filters, tests and methods are called with arguments of all kinds.
func TestRandomCallsMakeATextOrAreRefused(t *testing.T) {
	tables := newTables()
	values := []string{"q", "n", "d", "xs", "m", "big", "none", "true", "''", "'a,b'", "-1", "0", "3", "100000", "2.5", "[1, 2]", "[[1, 'a'], [2, 'b']]", "{'k': 2}", "missing", "shots", "range(5)", "'%s %d'", "'{} {x:.2f}'", "9223372036854775807", "-9223372036854775807", "1e308"}
	names := slices.Concat(sortedNames(tables.filters), sortedNames(tables.tests))
	methods := slices.Concat(sortedNames(tables.textMethods), sortedNames(tables.listMethods), sortedNames(tables.dictMethods))
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom(values)
		args := strings.Join(rapid.SliceOfN(v, 0, 3).Draw(t, "args"), ", ")
		in := v.Draw(t, "in")
		name := rapid.SampledFrom(names).Draw(t, "name")
		holds(t, fmt.Sprintf("{{ %s|%s(%s) }}", in, name, args), fuzzRow)
		holds(t, fmt.Sprintf("{{ %s is %s(%s) }}", in, name, args), fuzzRow)
		holds(t, fmt.Sprintf("{{ [%s, %s]|map('%s', %s)|list }}", in, v.Draw(t, "other"), name, args), fuzzRow)
		holds(t, fmt.Sprintf("{{ (%s).%s(%s) }}", in, rapid.SampledFrom(methods).Draw(t, "method"), args), fuzzRow)
		op := rapid.SampledFrom([]string{"+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or"}).Draw(t, "op")
		holds(t, fmt.Sprintf("{{ %s %s %s }}", in, op, v.Draw(t, "right")), fuzzRow)
	})
}
