package export

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"gleaner/internal/pipeline"
)

// asked is a renderer: a system message if there is one, and one question for every row.
type asked struct{ system, question string }

func (a asked) Request([]byte) (pipeline.Rendered, error) {
	messages := pipeline.User(a.question)
	if a.system != "" {
		messages = append([]pipeline.Message{{Role: pipeline.RoleSystem, Content: a.system}}, messages...)
	}
	return pipeline.Rendered{Messages: messages}, nil
}

func (asked) RowID([]byte) (string, error) { return "", nil }

// testRun is a small run.
func testRun() pipeline.Run {
	return pipeline.Run{Name: "r", Items: 3, Generations: 3, Spec: pipeline.Spec{
		Model: "m", Prompt: "{{ q }}", Samples: 1, Options: pipeline.Options{NumPredict: 4}, Dataset: pipeline.DatasetID{Name: "rows.jsonl", Digest: "d1"},
	}}
}

// answered returns the answers to rows. An empty text is a generation without an answer.
func answered(rows []string, texts ...string) []pipeline.Answer {
	answers := make([]pipeline.Answer, len(rows))
	for i, row := range rows {
		answers[i] = pipeline.Answer{Item: i, Input: []byte(row)}
		if texts[i] != "" {
			answers[i].Result = &pipeline.StoredResult{Result: pipeline.Result{
				Item: i, Text: texts[i], Finish: pipeline.FinishStop, Seed: 7, PromptTokens: 5, OutputTokens: 3, CreatedAt: time.Unix(1_700_000_000, 0).UTC(),
			}, Engine: pipeline.Ollama, Digest: strings.Repeat("ab", 32)}
		}
	}
	return answers
}

// settled returns the settings for a run and the names for rows.
func settled(t testing.TB, run pipeline.Run, c Config, rows ...string) (Config, Names) {
	t.Helper()
	var columns Columns
	for _, row := range rows {
		if err := columns.Observe([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := c.For(run.Spec)
	if err != nil {
		t.Fatal(err)
	}
	names, err := Settle(c, columns.Names())
	if err != nil {
		t.Fatal(err)
	}
	return c, names
}

// exported writes answers, and returns what was counted.
func exported(t testing.TB, run pipeline.Run, c Config, r MessageRenderer, answers []pipeline.Answer) (Tally, error) {
	t.Helper()
	rows := make([]string, len(answers))
	for i, a := range answers {
		rows[i] = string(a.Input)
	}
	c, names := settled(t, run, c, rows...)
	x, err := New(run, c, names, r)
	if err != nil {
		return Tally{}, err
	}
	defer x.Abort()
	for _, a := range answers {
		if err := x.Add(a); err != nil {
			return Tally{}, err
		}
	}
	return x.Commit()
}

// mustExport is exported that may not fail. It returns the path of a file of this name.
func mustExport(t testing.TB, name string, c Config, rows []string, texts ...string) (path string, tally Tally) {
	t.Helper()
	c.Out = filepath.Join(t.TempDir(), name)
	tally, err := exported(t, testRun(), c, asked{question: "why?"}, answered(rows, texts...))
	if err != nil {
		t.Fatal(err)
	}
	return c.Out, tally
}

// unpacked returns the contents of a file, without its compression.
func unpacked(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var from io.Reader = bytes.NewReader(data)
	switch filepath.Ext(path) {
	case ".gz":
		from, err = gzip.NewReader(from)
	case ".zst":
		from, err = zstd.NewReader(from)
	}
	if err == nil {
		data, err = io.ReadAll(from)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// shown returns the names in a folder, those of marks only if they are asked for.
func shown(t testing.TB, dir string, marks bool) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		isMark := strings.HasSuffix(e.Name(), ".gleaner") || e.Name() == folderMark
		if marks || !isMark {
			names = append(names, e.Name())
		}
	}
	return names
}

// line returns the one line that an encoder makes of a row.
func line(t testing.TB, run pipeline.Run, c Config, r MessageRenderer, a pipeline.Answer) string {
	t.Helper()
	c, names := settled(t, run, c, string(a.Input))
	e, err := NewEncoder(run, c, names, r)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Line(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// numbered returns n rows.
func numbered(n int) (rows, texts []string) {
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"id": %d, "q": "How much is %d+1?"}`, i, i))
		texts = append(texts, fmt.Sprint("It is ", i+1, "."))
	}
	return rows, texts
}
