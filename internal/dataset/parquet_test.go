package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/dataset/parquet"
)

// columnFile returns a Parquet file with some rows.
func columnFile(t testing.TB, rows ...string) string {
	t.Helper()
	var schema parquet.Schema
	for _, row := range rows {
		if err := schema.Observe([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	w, err := parquet.NewWriter(&out, &schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestParquetIsReadBesideOtherFormats(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	rows := []string{`{"id":9007199254740993,"messages":[{"role":"user","content":"Name it."}]}`, `{"id":2,"messages":[]}`}
	file := columnFile(t, rows...)
	dir := inputFiles(t, map[string]string{"train-0.parquet": file, "train-1.jsonl": `{"id":3}`})
	want := append(rows, `{"id":3}`)
	_, got := readSource(t, SourceOptions{Inputs: []string{dir}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s, got := readSource(t, SourceOptions{Inputs: []string{"-", filepath.Join(dir, "train-1.jsonl")}, Stdin: strings.NewReader(file)})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("from a pipe (-want +got):\n%s", diff)
	}
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(r); err != nil || len(got) != 3 {
		t.Errorf("once more: %q, %v", got, err)
	}
	r.Close()
	if r, err = NewReader(strings.NewReader(file), "x"); err != nil {
		t.Fatal(err)
	}
	r.Next()
	r.Next()
	if name, line := r.Position(); name != "x" || line != 2 {
		t.Errorf("row %d of %s", line, name)
	}
	r.Close()
	s.Close()
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

func TestADamagedParquetFileIsNamedOnce(t *testing.T) {
	file := columnFile(t, `{"a":"x"}`)
	for name, content := range map[string]string{"cut off": file[:len(file)-9], "packed": packed(t, "gzip", file)} {
		_, err := NewReader(strings.NewReader(content), "a.parquet")
		if err == nil || strings.Count(err.Error(), "a.parquet") != map[string]int{"cut off": 1, "packed": 2}[name] {
			t.Errorf("%s: %v", name, err)
		}
	}
}
