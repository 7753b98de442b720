package prompt

import (
	"errors"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

func render(t *testing.T, spec pipeline.Spec, row string) (string, error) {
	t.Helper()
	p, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := p.Render([]byte(row))
	if err != nil {
		return "", err
	}
	return messages[0].Content, nil
}

func TestAPromptIsAColumnOrMadeOfSeveral(t *testing.T) {
	const row = `{"question": "2 < 3 & \"so\"?", "n": 1.50, "big": 12345678901234567890, "zero": 0, "none": null, "no": false,
		"list": [1, null, {"a": null}], "a b": "x", "<tag>": 1}`
	for _, c := range []struct{ name, field, template, want string }{
		{"a column", "question", "", `2 < 3 & "so"?`},
		{"a number keeps its form", "n", "", "1.50"},
		{"a number that no float holds", "big", "", "12345678901234567890"},
		{"a number as it came in a template", "", "{{.n}} of {{.big}}", "1.50 of 12345678901234567890"},
		{"text around a column", "", "Q: {{.question}}\nA:", "Q: 2 < 3 & \"so\"?\nA:"},
		{"a column whose name is no identifier", "", `{{index . "a b"}}`, "x"},
		{"a value as JSON, with < and & as they are", "", "{{json .question}}", `"2 < 3 & \"so\"?"`},
		{"a list as JSON", "", "{{json .list}}", `[1,null,{"a":null}]`},
		{"null is nothing", "", "[{{.none}}]", "[]"},
		{"null is false", "", "{{if .none}}yes{{else}}no{{end}}", "no"},
		{"null is JSON's null", "", "{{json .none}}", "null"},
		{"null within a list is nothing", "", "{{range .list}}<{{.}}>{{break}}{{end}}{{index .list 1}}.", "<1>."},
		{"a boolean", "", "{{.no}}", "false"},
		{"what comes often", "", "{{range $i, $v := .list}}{{if $i}}, {{end}}{{json $v}}{{end}}", `1, null, {"a":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(t, pipeline.Spec{Field: c.field, Prompt: c.template}, row)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestAPromptThatCannotBeMadeIsExplained(t *testing.T) {
	long := strings.Repeat("x", pipeline.MaxPromptBytes)
	for _, c := range []struct{ name, field, template, row, want string }{
		{"a missing column", "prompt", "", `{"b": 1, "a": 2}`, `there is no column "prompt"; the row's columns are a, b`},
		{"a row without columns", "prompt", "", `{}`, `there is no column "prompt"; the row's columns are none`},
		{"a missing column in a template", "", "{{.x}}", `{"b": 1, "a": 2}`, `prompt template: <.x>: map has no entry for key "x"; the row's columns are a, b`},
		{"a missing column inside of one", "", "{{.a.b}}", `{"a": {}}`, `prompt template: <.a.b>: map has no entry for key "b"; the row's columns are a`},
		{"a template that fails", "", "{{index .a 5}}", `{"a": [1]}`, "prompt template: <index .a 5>: error calling index"},
		{"a column that is no text", "a", "", `{"a": [1]}`, `column "a" is a list of 1, not text; show it with a template such as --prompt '{{ row["a"] }}'`},
		{"a column that is null", "a", "", `{"a": null}`, `column "a" is null`},
		{"an empty prompt", "a", "", `{"a": " \n\t "}`, "the prompt is empty"},
		{"a template that leaves nothing", "", "{{if .a}}x{{end}}", `{"a": ""}`, "the prompt is empty"},
		{"a prompt that is too long", "a", "", `{"a": "` + long + `x"}`, "the prompt has 131073 bytes, the limit is 131072"},
		{"a template without end", "", "{{range 1000000000000}}xxxxxxxxxxxxxxxx{{end}}", `{}`, "the prompt has more than 131072 bytes"},
		{"a row that is a list", "a", "", `[1]`, "the row is not a JSON object"},
		{"a row that is cut off", "a", "", `{"a": "x`, "it is not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(t, pipeline.Spec{Field: c.field, Prompt: c.template}, c.row)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.80q, %v; want %q", got, err, c.want)
			}
		})
	}
	if _, err := render(t, pipeline.Spec{Field: "a"}, `{"a": "`+long+`"}`); err != nil {
		t.Errorf("a prompt of the longest length: %v", err)
	}
}

// Users copy the advice in an error, so it has to work.
func TestTheTemplateThatAnErrorRecommendsWorks(t *testing.T) {
	const row = `{"my col": {"x": [1]}}`
	_, err := render(t, pipeline.Spec{Field: "my col"}, row)
	_, advice, ok := strings.Cut(err.Error(), "such as ")
	if !ok {
		t.Fatalf("no advice: %v", err)
	}
	advice = strings.Trim(strings.TrimPrefix(advice, "--prompt "), "'")
	if got, err := render(t, pipeline.Spec{Prompt: advice, Language: pipeline.Jinja}, row); err != nil || got != `{"x": [1]}` {
		t.Errorf("%s gives %q, %v", advice, got, err)
	}
}

func TestATemplateThatCannotBeParsedNamesTheFlag(t *testing.T) {
	for _, template := range []string{"{{", "{{.a", "{{nonsense .a}}", "{{end}}"} {
		_, err := New(pipeline.Spec{Prompt: template})
		var bad *pipeline.SpecError
		if !errors.As(err, &bad) || bad.Field != "prompt" || strings.HasPrefix(bad.Problem, "template: ") {
			t.Errorf("%q: %v", template, err)
		}
	}
}

func TestARowDoesNotSeeTheColumnsOfTheRowBefore(t *testing.T) {
	p, err := New(pipeline.Spec{Prompt: "{{if .b}}{{.b}}{{else}}{{.a}}{{end}}"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{`{"a":"1","b":"2"}`, "2"}, {`{"a":"3","b":null}`, "3"}} {
		if got, err := p.Render([]byte(c[0])); err != nil || got[0].Content != c[1] {
			t.Errorf("%s gives %q, %v", c[0], got, err)
		}
	}
}

func TestATemplateThatNeverEndsIsEnded(t *testing.T) {
	for template, want := range map[string]string{
		"{{range 1000000000000}}{{end}}":                                "turn more than 100000 times",
		"{{range 1000}}{{if true}}{{range 1000}}{{end}}{{end}}{{end}}":  "turn more than 100000 times",
		`{{define "x"}}{{range 1000000}}{{end}}{{end}}{{template "x"}}`: "turn more than 100000 times",
		"{{range 1000000}}many words{{end}}":                            "more than 131072 bytes",
		"{{$x := .q}}{{range 100}}{{$x = print $x $x}}{{end}}a":         "more than 262144 bytes",
		`{{$x := .q}}{{range 100}}{{$x = printf "%s%s" $x $x}}{{end}}a`: "more than 262144 bytes",
		`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`:         "maximum template depth",
	} {
		renderer, err := New(pipeline.Spec{Prompt: template})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := renderer.Render([]byte(`{"q":"abc"}`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
	}
	renderer, err := New(pipeline.Spec{Prompt: "{{range .list}}{{.}}{{end}}"})
	if err != nil {
		t.Fatal(err)
	}
	long := []byte(`{"list":[` + strings.Repeat("1,", 60_000) + `1]}`)
	for range 3 { // the budget is for each row
		if _, err := renderer.Render(long); err != nil {
			t.Error(err)
		}
	}
}
