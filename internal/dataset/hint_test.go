package dataset

import (
	"io"
	"os"
	"strings"
	"testing"

	"gleaner/internal/needtest"
	"gleaner/internal/pipeline"
)

// said returns what a reader says of a file, in errors and in hints.
func said(t *testing.T, text string) string {
	t.Helper()
	if err := os.WriteFile("in.json", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open("in.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := ""
	for {
		_, err := r.Next()
		if err == io.EOF {
			return all + strings.Join(r.Notes().Hints, "")
		}
		if err != nil {
			all += err.Error()
		}
	}
}

func TestATableThatIsHeldColumnByColumnIsKnownAndItsCommandWorks(t *testing.T) {
	needtest.Tool(t, "python3")
	long := strings.Repeat("x", pipeline.MaxRowBytes)
	for name, c := range map[string]struct{ text, want string }{ // as Python writes JSON
		"by the numbers of rows": {`{"q":{"0":"a","1":"b"},"n":{"0":9007199254740993,"1":null}}`, `{"q": "a", "n": 9007199254740993}` + "\n" + `{"q": "b", "n": null}` + "\n"},
		"as lists":               {`{"q": ["a", "b"], "n": [1, 2.5]}`, `{"q": "a", "n": 1}` + "\n" + `{"q": "b", "n": 2.5}` + "\n"},
		"longer than a row":      {`{"q":{"0":"a","1":"` + long + `"}}`, `{"q": "a"}` + "\n" + `{"q": "` + long + `"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			run(t, said(t, c.text))
			if rows, err := os.ReadFile("in-converted.jsonl"); err != nil || string(rows) != c.want {
				t.Errorf("%v: %.200q, want %.200q", err, rows, c.want)
			}
		})
	}
}

func TestARowWithListsIsARow(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []string{`{}`, `{"tags": ["a", "b"], "q": "x"}`, `{"q": ["a", "b"], "n": [1]}`, `{"q": ["a"], "n": [1]}`, `{"q": {"0": "a", "x": "b"}}`, `{"q": ["a", "b"]}`, `{"q": {"0": ["a"]}}`} {
		if hint := said(t, row); hint != "" {
			t.Errorf("%s: %s", row, hint)
		}
	}
}
