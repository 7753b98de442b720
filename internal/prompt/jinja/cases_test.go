package jinja

import (
	"strings"
	"testing"
)

// What people ran into with prompts for their datasets, and what is right.
func TestPromptsOfPeopleRender(t *testing.T) {
	for _, c := range []struct{ name, template, row, want string }{
		{"an optional column", "{{ instruction }}{% if input %}\n\n{{ input }}{% endif %}", `{"instruction": "Sort.", "input": "b a"}`, "Sort.\n\nb a"},
		{"an optional column that is missing", "{{ instruction }}{% if input %}\n\n{{ input }}{% endif %}", `{"instruction": "Greet."}`, "Greet."},
		{"an optional column that is null", "{{ instruction }}{% if input %}\n\n{{ input }}{% endif %}", `{"instruction": "Greet.", "input": null}`, "Greet."},
		{"an integer", "{{ q }}", `{"q": 12}`, "12"},
		{"a decimal", "{{ q }}", `{"q": 1.50}`, "1.50"},
		{"an exponent", "{{ q }}", `{"q": 1e5}`, "1e5"},
		{"a number as text", "{{ q }}", `{"q": "007"}`, "007"},
		{"a large number", "{{ q }}", `{"q": 12345678901234567890}`, "12345678901234567890"},
		{"true", "{{ q }}", `{"q": true}`, "true"},
		{"braces and LaTeX in a value", "Solve: {{ q }}", `{"q": "Let A = {1; 2}. \\sum_{i=1}^{n} {{ x }} {% if %} ${HOME} %s {# c #}"}`, `Solve: Let A = {1; 2}. \sum_{i=1}^{n} {{ x }} {% if %} ${HOME} %s {# c #}`},
		{"a name with a space", "{{ row['Question Text'] }}", `{"Question Text": "Name a nut."}`, "Name a nut."},
		{"a name with a dot", "{{ a.b }}", `{"a.b": "x"}`, "x"},
		{"a name with a sign", "{{ row['$ref'] }}{{ row['user-id'] }}{{ row[''] }}", `{"$ref": "y", "user-id": 7, "": "empty"}`, "y7empty"},
		{"a name in Chinese", "{{ 問題 }}", `{"問題": "數一數。"}`, "數一數。"},
		{"a list and an object", "{{ q }} {{ choices }} {{ meta }}", `{"q": "Which is a fruit?", "choices": ["pear", "stone, grey"], "meta": {"a": 1, "b": null}}`, `Which is a fruit? ["pear", "stone, grey"] {"a": 1, "b": null}`},
		{"letters before choices", "{{ q }}{% for c in choices %}\n{{ 'ABCDEFGH'[loop.index0] }}. {{ c }}{% endfor %}", `{"q": "Which is a fruit?", "choices": ["pear", "stone"]}`, "Which is a fruit?\nA. pear\nB. stone"},
		{"an object of choices as in ARC", "{% for t in choices.text %}{{ choices.label[loop.index0] }}) {{ t }} {% endfor %}", `{"choices": {"text": ["a", "b"], "label": ["A", "B"]}}`, "A) a B) b "},
		{"an expression over several lines", "{{\n  q\n  | trim\n  | replace('a',\n      'b')\n}}", `{"q": " a "}`, "b"},
		{"line and paragraph separators", "{{ q }}", `{"q": "a\u2028b\u0000c"}`, "a\u2028b\x00c"},
		{"a lone surrogate", "{{ q }}", `{"q": "a\ud800b"}`, "a\ufffdb"},
		{"a key that stands twice", "{{ q }}", `{"q": 1, "q": 2}`, "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := mustCompile(t, c.template).Render([]byte(c.row)); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// A prompt in which no column occurs is known, with the spelling of what looks like one.
func TestAPromptInTheFormOfPythonIsKnownToUseNoColumn(t *testing.T) {
	columns := []string{"question"}
	for _, text := range []string{"Solve: {question}", "Solve: $question", "Solve: %s", "Solve: ${question}"} {
		c := mustCompile(t, text)
		spelled, ok := Suggest(text, columns)
		if used := c.Uses(columns); len(used) > 0 || !c.Constant() || !ok || spelled != "{{ question }}" {
			t.Errorf("%s uses %q, is constant: %v, suggests %q", text, used, c.Constant(), spelled)
		}
	}
	if c := mustCompile(t, `{{ question }} Put it into \boxed{answer}.`); !strings.Contains(strings.Join(c.Uses(columns), " "), "question") {
		t.Error("a column beside a look-alike does not count")
	}
}
