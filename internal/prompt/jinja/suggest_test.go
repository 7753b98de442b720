package jinja

import "testing"

func TestALookAlikeIsSpelledAsAColumn(t *testing.T) {
	columns := []string{"question", "Question Text", "a.b", "id"}
	for text, want := range map[string]string{
		"Solve: {question}": "{{ question }}", "Solve: $question": "{{ question }}", "Solve: ${question}": "{{ question }}", "Solve: %(question)s": "{{ question }}",
		"Solve: %s": "{{ question }}", "Solve: {}": "{{ question }}", "Solve: <question>": "{{ question }}", "{{.question}}": "{{ question }}", `{{ index . "Question Text" }}`: "{{ row['Question Text'] }}",
		"{Question Text}": "{{ row['Question Text'] }}", "{question_text}": "{{ row['Question Text'] }}", "{a.b}": "{{ a.b }}", "$a.b": "{{ a.b }}", "{QUESTION}": "{{ question }}", "[question]": "{{ question }}", "{{json .id}}": "{{ id }}",
		"{question!r:>5}": "{{ question }}", "\\boxed{answer}": "", "costs $5": "", "Solve it.": "", "<b>": "", "{i=1}^{n}": "", "{{ question }}": "", "{{ id }} {x}": "",
	} {
		got, ok := Suggest(text, columns)
		if got != want || ok != (want != "") {
			t.Errorf("%s suggests %q, %v; want %q", text, got, ok, want)
		}
	}
	if got, ok := Suggest("Solve: %s", nil); ok {
		t.Errorf("without a column %q is suggested", got)
	}
}

func TestATemplateOfGoIsTranslated(t *testing.T) {
	for text, want := range map[string]string{
		"{{.question}}": "{{ question }}", "Q: {{ .a.b }}": "Q: {{ a.b }}", `{{ index . "a b" }}`: `{{ row["a b"] }}`, "{{json .x}}": "{{ x|tojson }}", `{{json (index . "x")}}`: `{{ (row["x"])|tojson }}`,
		"{{range .x}}{{.}}, {{end}}":                        "{% for item in x %}{{ item }}, {% endfor %}",
		"{{range $i, $c := .choices}}{{$i}}. {{$c}}{{end}}": "{% for c in choices %}{{ loop.index0 }}. {{ c }}{% endfor %}",
		"{{range .xs}}{{.name}}{{end}}":                     "{% for item in xs %}{{ item.name }}{% endfor %}",
		"{{if .y}}a{{else}}b{{end}}":                        "{% if y %}a{% else %}b{% endif %}", "{{if not .y}}a{{else if eq .z \"x\"}}b{{end}}": `{% if not y %}a{% elif z == "x" %}b{% endif %}`,
		"{{- .x -}}": "{{- x -}}", "{{with .x}}{{.y}}{{end}}": "{% if x %}{{ x.y }}{% endif %}", `{{printf "%d" .n}}`: `{{ "%d"|format(n) }}`, "{{len .xs}}": "{{ xs|length }}",
		"{{/* note */}}{{.x}}": "{# note #}{{ x }}", "{{.x | json}}": "{{ x|tojson }}", "{{and .a .b}}": "{{ a and b }}", "{{.}}": "{{ row }}", "{{ if and .a (gt .n 3) }}x{{ end }}": "{% if a and (n > 3) %}x{% endif %}",
	} {
		if text == "{{and .a .b}}" {
			text = "{{.a}}{{and .a .b}}"
			want = "{{ a }}" + want
		}
		got, yes := IsGoTemplate(text)
		if !yes || got != want {
			t.Errorf("%s becomes %q, %v; want %q", text, got, yes, want)
		}
		if _, err := Compile("prompt", got, nil); err != nil {
			t.Errorf("%s becomes %s, which is no Jinja: %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Solve: {{ question }}", "{{ question|upper }}", "{% for x in y %}{{ x }}{% endfor %}", "{question}", "{{ row['x'] }}", "{{ x if not (y) else z }}", "{{ end }", "{{ 0.5 }}", "{{ ends }}", "{{ end }} {{ else }}", "{{ not (a and b) }}", "{{ len (x) }}", "{% if (x) %}{% endif %}"} {
		if got, yes := IsGoTemplate(text); yes {
			t.Errorf("%q is taken for a template of Go: %q", text, got)
		}
	}
}
