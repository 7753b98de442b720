package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testRow is what most tests render.
const testRow = `{"q": "Let A = {1; 2}. \\sum_{i=1}^{n} {{ x }} {% if %} {% raw %} ${HOME} %s", "n": 12, "d": 1.50, "e": 1e5,
	"zip": "007", "big": 12345678901234567890, "tiny": 1e-400, "yes": true, "nil": null, "a.b": "dot", "a": {"b": "path", "c": 1}, "user-id": 7,
	"Question Text": "Name a nut.", "$ref": "y", "": "empty", "問題": "數一數。", "row": "a column", "choices": ["pear", "stone, grey"],
	"meta": {"z": 1, "b": null, "list": [1, {"y": 2.50}]}, "in": "keyword"}`

func mustCompile(t testing.TB, template string) *Template {
	t.Helper()
	c, err := Compile("prompt", template, nil)
	if err != nil {
		t.Fatalf("%s: %v", template, err)
	}
	return c
}

func TestValuesShowAsTheyCame(t *testing.T) {
	for template, want := range map[string]string{
		"{{ q }}":                        `Let A = {1; 2}. \sum_{i=1}^{n} {{ x }} {% if %} {% raw %} ${HOME} %s`,
		"{{ n }} {{ d }} {{ e }}":        "12 1.50 1e5",
		"{{ zip }} {{ big }} {{ tiny }}": "007 12345678901234567890 1e-400",
		"{{ yes }} {{ not yes }}":        "true false",
		"[{{ nil }}]":                    "[]",
		"{{ choices }} {{ meta }}":       `["pear", "stone, grey"] {"z": 1, "b": null, "list": [1, {"y": 2.50}]}`,
		"{% for k in meta %}{{ k }}{% endfor %} {% for k, v in meta.items() %}{{ k }}{% endfor %}": "zblist zblist",
		"{{ meta|tojson }}": `{"z": 1, "b": null, "list": [1, {"y": 2.50}]}`,
		"{% for k, v in meta|dictsort %}{{ k }}{% endfor %}":              "blistz",
		"{{ d + 1 }} {{ d > 1.4 }} {{ d == 1.5 }} {{ '%.3f'|format(d) }}": "2.5 true true 1.500",
		"{{ a.b }} {{ a.c }} {{ row }}":                                   "dot 1 a column",
		"{{ n }}\n":                                                       "12\n", "a\r\nb\rc": "a\nb\nc", "{{ 問題 }}": "數一數。",
		"{{ 'a' ~ nil ~ yes ~ d ~ choices[0] }}":   "atrue1.50pear",
		"{{ big == big }} {{ big|string|length }}": "true 20",
	} {
		if got, err := mustCompile(t, template).Render([]byte(testRow)); err != nil || got != want {
			t.Errorf("%s makes %q, %v; want %q", template, got, err, want)
		}
	}
}

func TestTheWholeRowAndEachOfItsColumnsCanBeReached(t *testing.T) {
	const row = `{"Question Text": "Name a nut.", "user-id": 7, "$ref": "y", "": "empty", "in": 1, "x": [1, {"k": 2.0}]}`
	for template, want := range map[string]string{
		"{{ row }}":                      `{"Question Text": "Name a nut.", "user-id": 7, "$ref": "y", "": "empty", "in": 1, "x": [1, {"k": 2.0}]}`,
		"{{ row['Question Text'] }}":     "Name a nut.",
		"{{ row['user-id'] + 1 }}":       "8",
		"{{ row['$ref'] }}{{ row[''] }}": "yempty",
		"{{ row['in'] }}{{ row.in }}":    "11",
		"{% for k, v in row.items() %}{{ loop.index }}{{ k }}{% endfor %}": "1Question Text2user-id3$ref45in6x",
		"{{ row.get('nothing', 'd') }}":                                    "d",
	} {
		if got, err := mustCompile(t, template).Render([]byte(row)); err != nil || got != want {
			t.Errorf("%s makes %q, %v; want %q", template, got, err, want)
		}
	}
}

func TestAMissingColumnIsFalseInAConditionAndAnErrorWhereItIsShown(t *testing.T) {
	row := []byte(`{"instruction": "Greet.", "meta": {}}`)
	for template, want := range map[string]string{
		"{{ instruction }}{% if input %}\n\n{{ input }}{% endif %}": "Greet.",
		"{% if not input %}x{% endif %}":                            "x",
		"{{ input or 'x' }}":                                        "x",
		"{{ input is defined }}{{ input is not defined }}":          "falsetrue",
		"{{ input|default('d') }}{{ input|default }}":               "d",
		"{{ 'a' if input else 'b' }}":                               "b",
		"{{ input and input.part }}{{ 1 if input else '' }}":        "error",
		"{% if input.part and meta.part %}a{% else %}b{% endif %}":  "b",
		"{% if meta.part or input[0] or input['x'] %}a{% endif %}":  "",
		"{{ input == 'x' }}{{ 'x' in input }}{{ input is none }}":   "falsefalsefalse",
		"{{ input|upper }}":                                         "error",
		"{{ input ~ 'x' }}":                                         "error",
		"{{ input + 1 }}":                                           "error",
		"{{ input < 1 }}":                                           "error",
		"{{ [input] }}":                                             "error",
		"{% for x in input %}{% endfor %}":                          "error",
		"{% for x in input or [] %}x{% endfor %}":                   "",
		"{% set x = input %}{{ x }}":                                "error",
		"{% macro m(x) %}{{ x }}{% endmacro %}{{ m(input) }}":       "error",
		"{{ meta.part }}":                                           "error",
		"{{ row.input }}":                                           "error",
		"{{ input.upper() }}":                                       "error",
	} {
		got, err := mustCompile(t, template).Render(row)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s makes %q, %v; want %q", template, got, err, want)
		}
	}
}

func TestAnErrorNamesColumnPlaceAndSpelling(t *testing.T) {
	for template, want := range map[string]string{
		"Solve: {{ qestion }}":            `prompt, line 1, column 11: there is no column "qestion" in the row, whose columns are question, user-id, n, big, list; did you mean {{ question }}?`,
		"a\n{{ question }}\n  {{ user }}": `prompt, line 3, column 6: there is no column "user" in the row, whose columns are question, user-id, n, big, list; did you mean {{ row['user-id'] }}?`,
		"{{ zzz }}":                       `prompt, line 1, column 4: there is no column "zzz" in the row, whose columns are question, user-id, n, big, list; where rows may lack it write {% if zzz %} … {% endif %} or {{ zzz|default('') }}`,
		"{{ big + 1 }}":                   "prompt, line 1, column 8: 12345678901234567890 is beyond what can be calculated with, so + cannot be used on it; show it as it is",
		"{{ question + 1 }}":              "prompt, line 1, column 13: + cannot be used on text and a number; join texts by ~, as in a ~ b; turn text into a number by |int or |float",
		"{{ list[5] }}":                   "prompt, line 1, column 8: a list of 2 has no [5]; the first one is [0], the last one [-1]",
		"{{ n.upper() }}":                 "prompt, line 1, column 4: a number has no method upper; turn it into text by |string, or look whether it is there by {% if x %}",
		"{{ n // 0 }}":                    "prompt, line 1, column 6: // by zero",
		"{{ 9223372036854775807 + 1 }}":   "prompt, line 1, column 24: the result of + is beyond the 64-bit integers; calculate with a decimal, as in 2.0",
		"{{ n < question }}":              "prompt, line 1, column 6: a number and text cannot be compared; turn text into a number by |int or |float",
	} {
		_, err := mustCompile(t, template).Render([]byte(`{"question": "x", "user-id": 1, "n": 2, "big": 12345678901234567890, "list": [1, 2]}`))
		var e *Error
		if !errors.As(err, &e) || err.Error() != want {
			t.Errorf("%s\n got  %v\n want %s", template, err, want)
		}
	}
	_, err := mustCompile(t, "{{ zzz }}").Render([]byte(`{"a": 1}`))
	if want := (&Error{"prompt", 1, 4, `there is no column "zzz" in the row, whose columns are a`, "where rows may lack it write {% if zzz %} … {% endif %} or {{ zzz|default('') }}", "zzz"}); !cmp.Equal(err, error(want)) {
		t.Errorf("the error is %#v", err)
	}
}

func TestAWrongTemplateIsExplainedBeforeAnyRow(t *testing.T) {
	for template, want := range map[string]string{
		"{{ question|uper }}":                    "line 1, column 13: there is no filter uper; did you mean upper?",
		"{{ question|zzzzz }}":                   "line 1, column 13: there is no filter zzzzz; the filters are abs,",
		"{{ x|map('uper') }}":                    "line 1, column 6: there is no filter uper; did you mean upper?",
		"{{ x|select('od') }}":                   "line 1, column 6: there is no test od; did you mean odd?",
		"{{ x is evn }}":                         "line 1, column 9: there is no test evn; did you mean even?",
		"{{ rang(3) }}":                          "line 1, column 4: there is no function rang; did you mean range?",
		"{{ upper(q) }}":                         "line 1, column 4: there is no function upper; it is a filter: write x|upper",
		"{{ q.uper() }}":                         "line 1, column 4: there is no method uper; did you mean .upper()?",
		"{{ q|truncate(1, 2, 3, 4, 5) }}":        "line 1, column 6: |truncate takes 4 arguments at most and has 5; its arguments are length, killwords, end, leeway",
		"{{ q|replace('a') }}":                   "line 1, column 6: |replace lacks the argument new; its arguments are old, new, count",
		"{{ q|indent(wide=3) }}":                 "line 1, column 6: |indent has no argument wide; its arguments are width, first, blank",
		"{{ q|upper(1) }}":                       "line 1, column 6: |upper takes 0 arguments at most and has 1; write |upper",
		"{{ x|random }}":                         "line 1, column 6: |random is not there; a prompt has to be the same each time",
		"{{ lipsum(3) }}":                        "line 1, column 4: the function lipsum is not there;",
		"{{ '%s' % q }}":                         "line 1, column 9: % on text is not there; write '%d points'|format(n) for '%d points' % n",
		"{% include 'a' %}":                      "line 1, column 4: {% include %} is not there in a prompt;",
		"{% import 'a' as b %}":                  "line 1, column 4: {% import %} is not there in a prompt;",
		"{% extends 'a' %}":                      "line 1, column 4: {% extends %} is not there in a prompt;",
		"{%- from 'a' import b %}":               "line 1, column 5: {% from %} is not there in a prompt;",
		"{% iff x %}":                            "line 1, column 4: there is no tag iff; write {% if … %}",
		"{% elseif x %}":                         "line 1, column 4: there is no tag elseif; write {% elif … %}",
		"a\n{% if x %}\nb":                       "line 2, column 1: {% if %} does not end; write {% endif %} after what belongs to it",
		"{% if x %}{% for y in z %}{% endif %}":  "line 1, column 27: {% endif %} stands where {% for %} of line 1 has to end; write {% endfor %}",
		"{% endif %}":                            "line 1, column 1: {% endif %} ends nothing;",
		"{% else %}":                             "line 1, column 1: {% else %} belongs to no {% if %} here",
		"{% break %}":                            "line 1, column 1: break and continue stand in loops only;",
		"{{ q":                                   "line 1, column 1: {{ does not end; write }} after it",
		"{{ q }":                                 "line 1, column 6: this } closes nothing; write }}",
		"{{ q }} {{":                             "line 1, column 9: {{ does not end;",
		"{{ }}":                                  "line 1, column 1: nothing stands between {{ and }}; write {{ question }} for the column question",
		"{{ $q }}":                               "line 1, column 4: $ is no part of Jinja; write {{ question }}",
		"{{ a ? b : c }}":                        "line 1, column 6: ? is no part of Jinja; write {{ a if condition else b }}",
		"{{ a && b }}":                           "line 1, column 6: & is no part of Jinja; write a and b",
		"{{ !a }}":                               "line 1, column 4: ! is no part of Jinja; write not x",
		"{{ Question Text }}":                    "line 1, column 13: Text stands where the end is expected; a column with a space or a sign in its name is {{ row['its name'] }}",
		"{{ 1st }}":                              "line 1, column 4: 1st is no name; a column whose name begins with a digit is {{ row['1st'] }}",
		"{{ 007 }}":                              "line 1, column 4: a number cannot begin with 0; write 7, or '007' for the text",
		"{{ 'a }}":                               "line 1, column 4: this ' is not closed",
		"{# a":                                   "line 1, column 1: this comment does not end;",
		"{% raw %}{{":                            "line 1, column 1: {% raw %} does not end;",
		"{% if x = 1 %}{% endif %}":              "line 1, column 9: = stands where the end is expected; compare by ==, and set a name by {% set name = … %}",
		"{% set x %}":                            "line 1, column 1: {% set %} does not end; write {% endset %}",
		"{{ f(a=1, 2) }}":                        "line 1, column 11: an argument without a name follows one with a name;",
		"{% macro m() %}{{ m() }}{% endmacro %}": "line 1, column 10: the macro m calls itself, or one that it calls does; write a loop",
		"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}": "line 1, column 10: the macro a calls itself, or one that it calls does;",
		"{{ .question }}":          "this is a template of Go; in Jinja it is {{ question }}",
		"{{range .x}}{{.}}{{end}}": "this is a template of Go; in Jinja it is {% for item in x %}{{ item }}{% endfor %}",
		"{{ '\xff' }}{{ \xff }}":   "the template is not UTF-8",
	} {
		_, err := Compile("prompt", template, nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got  %v\n want %s", template, err, want)
		}
	}
}

func TestFurtherNamesCanBeUsedAndNotChanged(t *testing.T) {
	vars := map[string]json.RawMessage{"shots": json.RawMessage(`[{"q": "1+1", "a": "2"}]`), "language": json.RawMessage(`"French"`)}
	c, err := Compile("prompt", "{% for s in shots %}{{ s.q }}={{ s.a }} {% endfor %}{{ language }} {{ q }}", vars)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Render([]byte(`{"q": "x", "language": "a column of the same name"}`)); got != "1+1=2 French x" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, template := range []string{"{% do shots.append(1) %}", "{% do shots[0].update({}) %}", "{% do shots.reverse() %}"} {
		c, err := Compile("prompt", template, vars)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Render([]byte(`{}`)); err == nil || !strings.Contains(err.Error(), "given by --var cannot be changed") {
			t.Errorf("%s: %v", template, err)
		}
	}
	for name, text := range map[string]string{"a b": `1`, "in": `1`, "": `1`, "x": `{`} {
		if _, err := Compile("prompt", "x", map[string]json.RawMessage{name: json.RawMessage(text)}); err == nil {
			t.Errorf("--var %s=%s is taken", name, text)
		}
	}
}

func TestATemplateKnowsTheColumnsThatItUses(t *testing.T) {
	columns := []string{"question", "a", "a.b", "Question Text", "choices", "row", "x"}
	for template, want := range map[string][]string{
		"{{ question }}":                            {"question"},
		"\\boxed{answer} {question} %s":             nil,
		"{{ a.b }}":                                 {"a.b"},
		"{{ a.c }}":                                 {"a"},
		"{{ a.b.upper() }}":                         {"a.b"},
		"{{ row['Question Text'] }}":                {"Question Text", "row"},
		"{% for c in choices %}{{ c }}{% endfor %}": {"choices"},
		"{% for question in choices %}{{ question }}{% endfor %}":       {"choices"},
		"{% set x = question %}{{ x }}":                                 {"question"},
		"{% set question = 1 %}{{ question }}":                          nil,
		"{% if a %}{% endif %}":                                         {"a"},
		"{{ question|default(x) }}":                                     {"question", "x"},
		"{{ x if a else question }}":                                    {"question", "a", "x"},
		"{% macro m(x) %}{{ x }}{{ a }}{% endmacro %}{{ m(question) }}": {"question", "a"},
		"{% with x = a %}{{ x }}{% endwith %}":                          {"a"},
		"{# {{ question }} #}{% raw %}{{ a }}{% endraw %}":              nil,
		"{{ 'question' }}":                                              nil,
		"{{ choices[x] }}":                                              {"choices", "x"},
		"{{ row.a.b }}":                                                 {"a", "row"}, "{{ row['a.b'] }}": {"a.b", "row"},
		"{{ 'x'.join(choices) }}": {"choices"},
		"{% call(x) m() %}{{ a }}{{ x }}{% endcall %}{% macro m() %}{{ caller(1) }}{% endmacro %}": {"a"},
		"{% filter replace('a', question) %}{% endfilter %}":                                       {"question"},
	} {
		if got := mustCompile(t, template).Uses(columns); !slices.Equal(got, want) {
			t.Errorf("%s uses %q, want %q", template, got, want)
		}
	}
	without := []string{"question", "Question Text"}
	for template, want := range map[string][]string{
		"{{ row }}": without, "{% for k in row %}{% endfor %}": without, "{{ row[k] }}": without, "{{ row|tojson }}": without, "{{ row.items() }}": without,
		"{{ row['Question Text'] }}": {"Question Text"}, "{{ row.question }}": {"question"}, "{{ row.get('question') }}": {"question"},
		"{% set row = 1 %}{{ row }}": nil,
	} {
		if got := mustCompile(t, template).Uses(without); !slices.Equal(got, want) {
			t.Errorf("%s uses %q, want %q", template, got, want)
		}
	}
}

func TestATemplateWithoutAColumnIsConstant(t *testing.T) {
	vars := map[string]json.RawMessage{"shots": json.RawMessage(`[1]`)}
	for template, want := range map[string]bool{
		"You are helpful.": true, "{question} $question %s": true, "{{ shots }}{% for i in range(3) %}{{ i }}{% endfor %}": true,
		"{% set x = 1 %}{{ x }}": true, "{% set ns = namespace(a=1) %}{{ ns.a }}": true,
		"{{ question }}": false, "{{ row }}": false, "{% if x %}{% endif %}": false, "{{ row['a'] }}": false, "{{ shots[i] }}": false,
	} {
		c, err := Compile("system", template, vars)
		if err != nil {
			t.Fatal(err)
		}
		if c.Constant() != want {
			t.Errorf("%s is constant: %v, want %v", template, c.Constant(), want)
		}
	}
}

func TestATemplateMayBeUsedByManyAtOnce(t *testing.T) {
	c, err := Compile("prompt", "{% set l = [] %}{% for x in shots %}{% do l.append(x ~ n) %}{% endfor %}{{ l|join(',') }}", map[string]json.RawMessage{"shots": json.RawMessage(`[1, 2]`)})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if got, err := c.Render([]byte(`{"n": "x"}`)); got != "1x,2x" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	group.Wait()
}

func TestEachTemplateEnds(t *testing.T) {
	wide := `{"text": "` + strings.Repeat("é b-c ", 28_000) + `", "xs": [` + strings.Repeat("1, ", 50_000) + `1]}`
	for _, template := range []string{
		"{% for i in range(1000000000) %}{% endfor %}",
		"{% for i in range(9223372036854775807) %}x{% endfor %}",
		"{{ range(1000000000)|length }}",
		"{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
		"{{ 'x' * 1000000000 }}", "{{ 1000000000 * 'x' }}", "{{ [1] * 1000000000 }}",
		"{% set ns = namespace(t='x') %}{% for i in range(100) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
		"{% set ns = namespace(t=[1]) %}{% for i in range(100) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
		"{% set ns = namespace(t=[1]) %}{% for i in range(100) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
		"{% set ns = namespace(t=[1]) %}{% for i in range(90) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t == ns.t|list }}",
		"{% set l = [] %}{% do l.append(l) %}{{ l }}", "{% set l = [] %}{% do l.append(l) %}{{ l == l|list }}",
		"{{ 'a'|center(1000000000) }}", "{{ 'a'|indent(1000000000, true) }}", "{{ 'a'.ljust(1000000000) }}", "{{ 'a'.zfill(1000000000) }}",
		"{{ '%1000000000d'|format(1) }}", "{{ '{:1000000000}'.format(1) }}", "{{ '{:.1000000000f}'.format(1.5) }}",
		"{{ text|replace('', text) }}", "{{ text|list|join(text) }}", "{{ text.join(xs) }}", "{{ xs|batch(100000000, 1)|length }}", "{{ [1]|slice(1000000000)|length }}",
		"{% for i in range(90000) %}{{ text|upper|length }}{% endfor %}", "{% for i in range(90000) %}{{ text|wordwrap(3)|length }}{% endfor %}",
		"{% for i in range(90000) %}{% if text in text %}{% endif %}{% endfor %}", "{% for i in range(90000) %}{% if text == text ~ '' %}{% endif %}{% endfor %}",
		"{% for i in range(90000) %}{{ text[i] }}{% endfor %}", "{% for i in range(90000) %}{{ xs|sort|length }}{% endfor %}", "{% for i in range(90000) %}{{ text|title|length }}{% endfor %}",
		"{% for i in range(90000) %}{{ 'a'|wordwrap|wordwrap|wordwrap|wordwrap }}{% endfor %}",
		"{% macro a() %}{{ b() }}{{ b() }}{% endmacro %}{% macro b() %}{{ c() }}{{ c() }}{% endmacro %}{% macro c() %}{% for i in range(1000) %}{{ d() }}{% endfor %}{% endmacro %}{% macro d() %}{% for i in range(1000) %}x{% endfor %}{% endmacro %}{{ a() }}",
		"{% set ns = namespace() %}{% macro m() %}{{ ns.f() }}{% endmacro %}{% set ns.f = m %}{{ m() }}",
		"{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
		"{% for i in range(99999) %}{% filter upper %}{{ text }}{% endfilter %}{% endfor %}",
		"{{ text * 2 }}", "{{ 2 ** 1000000000 }}", "{{ 2.0 ** 1000000000 }}",
	} {
		start := time.Now()
		_, err := mustCompile(t, template).Render([]byte(wide))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", template, err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s ends after %v", template, took)
		}
	}
}

func TestATemplateThatLiesTooDeepIsRefused(t *testing.T) {
	for _, part := range []string{"(", "[", "{1:", "not ", "-", "a[", "f(", "a if ", "x|f(", "1 + ", "x ~ ", "a.", "a if b else "} {
		if _, err := Compile("prompt", "{{ "+strings.Repeat(part, 20_000)+" }}", nil); err == nil {
			t.Errorf("%s is taken 20,000 times", part)
		}
	}
	for _, part := range []string{"{% if x %}", "{% for x in y %}", "{% macro m() %}", "{% filter upper %}", "{% with %}"} {
		if _, err := Compile("prompt", strings.Repeat(part, 10_000), nil); err == nil {
			t.Errorf("%s is taken 10,000 times", part)
		}
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	if _, err := mustCompile(t, "{{ a }}").Render([]byte(`{"a": ` + deep + `}`)); err == nil {
		t.Error("a row of 5,000 lists within each other is shown")
	}
}

func TestALargeTemplateIsReadInTime(t *testing.T) {
	for name, template := range map[string]string{
		"sets and conditions": strings.Repeat("{% set NAME = 1 %}{% if a %}{% endif %}", 5_000),
		"macros in a row":     strings.Repeat("{% macro NAME() %}{{ NEXT() }}{% endmacro %}", 4_000),
		"texts in a row":      "{{ " + strings.Repeat("'ab' ", 25_000) + "}}",
		"operators":           "{{ 1" + strings.Repeat(" + 1", 9_000) + " }}",
		"names":               "{{ [" + strings.Repeat("a, ", 25_000) + "] }}",
		"a filter's name":     "{{ a|" + strings.Repeat("x", 100_000) + " }}",
		"braces":              strings.Repeat("{", 100_000), "tags": strings.Repeat("{%", 50_000), "outputs": strings.Repeat("{{a}}", 40_000),
	} {
		template = numbered(template)
		start := time.Now()
		_, err := Compile("prompt", template, nil)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: read after %v", name, took)
		}
		if err != nil && len(err.Error()) > 9000 {
			t.Errorf("%s: a message of %d bytes", name, len(err.Error()))
		}
	}
}

// numbered gives each NAME a number, and NEXT the one after it.
func numbered(template string) string {
	var out strings.Builder
	for i, part := range strings.SplitAfter(template, "NAME") {
		part = strings.Replace(part, "NEXT", fmt.Sprintf("n%d", i), 1)
		out.WriteString(strings.Replace(part, "NAME", fmt.Sprintf("n%d", i), 1))
	}
	return out.String()
}

func TestAWideRowAndManyNamesAreFound(t *testing.T) {
	var row, template strings.Builder
	row.WriteString(`{"a0": "first"`)
	for i := 1; i < 50_000; i++ {
		fmt.Fprintf(&row, `, "a%d": %d`, i, i)
	}
	row.WriteString(`, "a7": "again"}`)
	for i := range 1000 {
		fmt.Fprintf(&template, "{%% set n%d = %d %%}", i, i)
	}
	template.WriteString("{{ a0 }} {{ a7 }} {{ a49999 }} {{ n0 }} {{ n999 }} {{ row|length }}{% set n0 = 'x' %}{{ n0 }}")
	if got, err := mustCompile(t, template.String()).Render([]byte(row.String())); got != "first again 49999 0 999 50000x" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhatIsNoRowIsRefused(t *testing.T) {
	for _, row := range []string{"", "null", "[1]", `"x"`, "{", `{"a": 1`, `{"a": 1} {}`, "\xff"} {
		_, err := mustCompile(t, "{{ a }}").Render([]byte(row))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q is rendered: %v", row, err)
		}
	}
}

func TestTheTextOfAFileIsCleaned(t *testing.T) {
	for text, want := range map[string]string{
		"\ufeffa\r\nb\r\n": "a\nb", "a\n\n": "a\n", "a": "a", "": "", "\ufeff": "", "a\rb": "a\rb",
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q is cleaned to %q, want %q", text, got, want)
		}
	}
}

// The reader of a dataset gives no such rows.
func TestARowThatIsNoJSONIsRefused(t *testing.T) {
	c := mustCompile(t, "{{ q }}")
	for row, want := range map[string]string{
		``: "unexpected end", `{`: "unexpected end", `{"q": "x`: "unexpected end", `{"q": "x\`: "in string escape code", `{"q": "a"} x`: "after top-level value", `{"q" 1}`: "after object key",
		`{"q": }`: "looking for beginning of value", `{"q": [b]}`: "looking for beginning of value", `{"q": {"a"}}`: "after object key", `0 "n":}`: "after top-level value", `{q: 1}`: "looking for beginning of object key",
		`[1]`: "not a JSON object", `"q"`: "not a JSON object",
	} {
		if text, err := c.Render([]byte(row)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q makes %q, %v; want an error with %q", row, text, err, want)
		}
	}
}
