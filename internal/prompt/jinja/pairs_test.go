package jinja

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gleaner/internal/needtest"
)

// pythonEnv names a Python that has jinja2.
const pythonEnv = "JINJA_TEST_PYTHON"

// python returns a Python that has jinja2.
func python(t *testing.T) string {
	t.Helper()
	candidates := []string{"python3", "/usr/bin/python3"}
	if given := os.Getenv(pythonEnv); given != "" {
		candidates = []string{given}
	}
	for _, candidate := range candidates {
		if exec.Command(candidate, "-c", "import jinja2").Run() == nil {
			return candidate
		}
	}
	needtest.Skip(t, "no Python has jinja2: install python3-jinja2, or set %s to one that has it", pythonEnv)
	return ""
}

// A rendered text, or an error in place of one.
type rendered struct{ text, problem string }

// byPython renders templates with rows, in pairs, by the real Jinja2 in one process.
func byPython(t *testing.T, pairs [][2]string) []rendered {
	t.Helper()
	var input bytes.Buffer
	for _, pair := range pairs {
		line, err := json.Marshal([]any{pair[0], json.RawMessage(pair[1])})
		if err != nil {
			t.Fatal(err)
		}
		input.Write(append(line, '\n'))
	}
	command := exec.CommandContext(t.Context(), python(t), "testdata/render.py")
	command.Stdin = &input
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []rendered
	for scanner := bufio.NewScanner(bytes.NewReader(output)); scanner.Scan(); {
		var answer [2]*string
		if err := json.Unmarshal(scanner.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		r := rendered{}
		if answer[0] != nil {
			r.text = *answer[0]
		} else {
			r.problem = *answer[1]
		}
		all = append(all, r)
	}
	if len(all) != len(pairs) {
		t.Fatalf("Python rendered %d of %d pairs", len(all), len(pairs))
	}
	return all
}

func byUs(template, row string) rendered {
	c, err := Compile("prompt", Clean(template), nil) // Jinja cuts one line end, too
	if err != nil {
		return rendered{problem: err.Error()}
	}
	text, err := c.Render([]byte(row))
	if err != nil {
		return rendered{problem: err.Error()}
	}
	return rendered{text: text}
}

// lines returns the lines of a file below testdata; ⏎ in them is a line end.
func lines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestTemplatesRenderAsInPython(t *testing.T) {
	var pairs [][2]string
	for _, template := range lines(t, "pairs.txt") {
		for _, row := range lines(t, "rows.jsonl") {
			pairs = append(pairs, [2]string{strings.ReplaceAll(template, "⏎", "\n"), row})
		}
	}
	if len(pairs) < 200 {
		t.Errorf("%d pairs are compared, 200 are wanted", len(pairs))
	}
	for i, want := range byPython(t, pairs) {
		if got := byUs(pairs[i][0], pairs[i][1]); got.text != want.text || (got.problem == "") != (want.problem == "") {
			t.Errorf("row %d\n  template %q\n  us       %q %s\n  Python   %q %s", i%3, pairs[i][0], got.text, got.problem, want.text, want.problem)
		}
	}
	t.Logf("%d pairs", len(pairs))
}
