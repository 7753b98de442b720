package parquet_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gleaner/internal/dataset/parquet"
	"gleaner/internal/needtest"
)

// python returns the interpreter that has the loaders.
func python(t testing.TB) string {
	t.Helper()
	return needtest.Env(t, "LOADERS_TEST_PYTHON", "run eval \"$(bash .ci/loaders.sh | sed 's/^/export /')\", or task loaders")
}

// runPython runs a script of testdata.
func runPython(t testing.TB, script string, args ...string) []byte {
	t.Helper()
	command := exec.Command(python(t), append([]string{filepath.Join("testdata", script)}, args...)...)
	command.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "PYTHONIOENCODING=utf-8")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, stderr.Bytes())
	}
	return out
}

// readFile returns all rows of a file, one a line.
func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parquet.Open(bytes.NewReader(data), int64(len(data)), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all bytes.Buffer
	for rows := int64(0); ; rows++ {
		row, err := r.Next()
		if err == io.EOF {
			if rows != r.Rows() {
				t.Errorf("%s has %d rows, and says %d", path, rows, r.Rows())
			}
			return all.Bytes()
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Write(row)
		all.WriteByte('\n')
	}
}

func TestWhatPyarrowPolarsAndDuckDBWriteIsReadAsWhatItIs(t *testing.T) {
	folder := t.TempDir()
	runPython(t, "make.py", folder)
	files, err := filepath.Glob(filepath.Join(folder, "*.parquet"))
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file[:len(file)-len(".parquet")] + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			got := readFile(t, file)
			wantLines, gotLines := bytes.Split(want, []byte("\n")), bytes.Split(got, []byte("\n"))
			if len(wantLines) != len(gotLines) {
				t.Fatalf("%d rows, want %d", len(gotLines)-1, len(wantLines)-1)
			}
			for i := range wantLines {
				if !bytes.Equal(wantLines[i], gotLines[i]) {
					t.Fatalf("row %d:\n got %s\nwant %s", i+1, gotLines[i], wantLines[i])
				}
			}
		})
	}
}
