package jinja

import (
	"strings"
	"testing"
)

// A difference is what a template makes here and in Python's Jinja2. An error is "error".
type difference struct{ template, us, python string }

// differenceRow is the row with which the differences are shown.
const differenceRow = `{"q": "a < b", "n": 7, "d": 1.50, "e": 1e5, "big": 12345678901234567890, "yes": true, "nil": null, "words": ["a", "b"], "meta": {"b": "<x>", "a": 1, "items": 2}, "a.b": "dotted"}`

// differences are all that is known; docs/jinja.md has the same table.
func differences() []difference {
	return []difference{
		{"{{ yes }}", "true", "True"},
		{"[{{ nil }}]", "[]", "[None]"},
		{"{{ words }}", `["a", "b"]`, "['a', 'b']"},
		{"{{ meta }}", `{"b": "<x>", "a": 1, "items": 2}`, "{'b': '<x>', 'a': 1, 'items': 2}"},
		{"{{ d }} {{ e }}", "1.50 1e5", "1.5 100000.0"},
		{"{{ big + 1 }}", "error", "12345678901234567891"},
		{"{{ 2 ** 64 }}", "error", "18446744073709551616"},
		{"{{ 1e20|int }}", "error", "100000000000000000000"},
		{"{{ a.b }}", "dotted", "error"},
		{"{{ missing }}", "error", ""},
		{"{{ missing|upper }}", "error", ""},
		{"{% for x in missing %}x{% endfor %}", "error", ""},
		{"{{ []|first }}", "error", ""},
		{"{{ [1]|truncate }}", "error", "[1]"},
		{"{% if missing.part %}x{% endif %}", "", "error"},
		{"{{ meta.items }}", "2", "error"},
		{"{{ meta|attr('a') }}", "1", ""},
		{"{{ meta|tojson }}", `{"b": "<x>", "a": 1, "items": 2}`, `{"a": 1, "b": "\u003cx\u003e", "items": 2}`},
		{"{{ q|e|e }}", "a &amp;lt; b", "a &lt; b"},
		{"{{ '%d' % n }}", "error", "7"},
		{"{{ [1]|random }}", "error", "1"},
		{"{{ 'a'|urlize }}", "error", "a"},
		{"{{ 'a'|pprint }}", "error", "'a'"},
		{"{% autoescape true %}{{ q }}{% endautoescape %}", "error", "a &lt; b"},
		{"{% macro m(x) %}{{ x }}{% if x %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(2) }}", "error", "210"},
		{"{{ range(*[3])|join }}", "error", "012"},
		{"{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "error", "123"},
		{"{{ 'aß'|title }} {{ 'ßa'|title }}", "Aß ßa", "Aß SSa"},
		{"{{ 'é'.encode() }}", "error", `b'\xc3\xa9'`},
		{"{{ 'a'.isidentifier() }}", "error", "True"},
		{"{% for x in range(200000) %}{% endfor %}", "error", ""},
	}
}

func (d difference) shown(r rendered) string {
	if r.problem != "" {
		return "error"
	}
	return r.text
}

// A builtin method of Python shows with its address in memory.
func pythonShows(r rendered) rendered {
	if strings.Contains(r.text, "built-in method") {
		return rendered{problem: "a method is shown"}
	}
	return r
}

func TestWhatDiffersFromPythonIsKnown(t *testing.T) {
	var pairs [][2]string
	for _, d := range differences() {
		pairs = append(pairs, [2]string{d.template, differenceRow})
		if got := d.shown(byUs(d.template, differenceRow)); got != d.us {
			t.Errorf("%s makes %q here, the table says %q: %s", d.template, got, d.us, byUs(d.template, differenceRow).problem)
		}
	}
	for i, r := range byPython(t, pairs) {
		d := differences()[i]
		if got := d.shown(pythonShows(r)); got != d.python {
			t.Errorf("%s makes %q in Python, the table says %q: %s", d.template, got, d.python, r.problem)
		}
	}
}

func TestThePageHasTheTableOfDifferences(t *testing.T) {
	text := page(t)
	cell := func(s string) string {
		switch s {
		case "error":
			return "an error"
		case "":
			return "nothing"
		}
		return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
	}
	for _, d := range differences() {
		if d.us == d.python {
			continue
		}
		row := "| " + cell(d.template) + " | " + cell(d.us) + " | " + cell(d.python) + " |"
		if !strings.Contains(text, row) {
			t.Errorf("docs/jinja.md lacks the row\n%s", row)
		}
	}
}
