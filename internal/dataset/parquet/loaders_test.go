package parquet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	for _, name := range []string{"footer", "column"} {
		data, err := os.ReadFile(filepath.Join(folder, name+".encrypted"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parquet.Open(bytes.NewReader(data), int64(len(data)), name); err == nil || !strings.Contains(err.Error(), "it is encrypted, and Gleaner has no keys") {
			t.Errorf("an encrypted %s: %v", name, err)
		}
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

// writeFile writes rows as a Parquet file.
func writeFile(t testing.TB, rows [][]byte) []byte {
	t.Helper()
	var schema parquet.Schema
	for _, row := range rows {
		if err := schema.Observe(row); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	w, err := parquet.NewWriter(&file, &schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// exports are rows of every kind that the writer has rules for, by name.
func exports() map[string][]string {
	deep := strings.Repeat(`{"a":[`, 15) + `1` + strings.Repeat(`]}`, 15)
	var keys, late, many []string
	for i := range 3000 {
		keys = append(keys, fmt.Sprintf(`{"id":%d,"counts":{"word %d":%d}}`, i, i, i))
		late = append(late, fmt.Sprintf(`{"id":%d,"response":null}`, i))
		many = append(many, fmt.Sprintf(`{"id":%d,"text":%q,"score":%v,"ok":%v,"tags":["a","%d"],"messages":[{"role":"user","content":"hi %d"}]}`, i, strings.Repeat("long ", i%100), float64(i)/3, i%2 == 0, i, i))
	}
	late = append(late, `{"id":-1,"response":"at last","reasoning":"because"}`)
	return map[string][]string{
		"case_71": {
			`{"id": 9007199254740993, "q": "How much is 0+1?", "score": null, "n": null, "ok": true, "tags": [], "meta": {"src": "made", "page": 0}, "day": "2026-03-01", "at": "2026-03-01T10:00:00Z", "code": "0000", "note": ""}`,
			`{"id": 9007199254740994, "q": "How much is 1+1?", "score": 0.5, "n": 1, "ok": false, "tags": ["a", "b"], "meta": {"src": "made", "page": null}, "day": "2026-03-02", "at": "2026-03-01T10:01:00Z", "code": "0001", "note": ""}`,
			`{"id": 9007199254740995, "q": "How much is 2+1?", "score": 1.0, "n": 2, "ok": true, "tags": ["a", "b"], "meta": {"src": "made", "page": 2, "more": [{"x": 1}, {"y": [true, null]}]}, "day": "2026-03-03", "at": "2026-03-01T10:02:00Z", "code": "0002", "note": ""}`,
		},
		"numbers":  {`{"i":9223372036854775807,"u":18446744073709551615,"f":0.1,"mix":1,"big":9007199254740993,"huge":18446744073709551616,"neg":-1,"precise":0.1234567890123456789}`, `{"i":-9223372036854775808,"u":0,"f":5e-324,"mix":2.5,"big":1.5,"huge":1,"neg":18446744073709551615,"precise":1.5}`, `{"i":null,"u":null,"f":-0.0,"mix":null,"big":null,"huge":null,"neg":null,"precise":null}`},
		"mixed":    {`{"a":1,"b":"x","c":[1,"a",null],"d":{"e":1},"f":true}`, `{"a":"1","b":["x"],"c":[],"d":{"e":{"g":2}},"f":0}`, `{"a":[1, 2],"b":{"y":"z"},"c":null,"d":null,"f":null}`},
		"empties":  {`{"o":{},"n":null,"l":[],"ll":[[]],"lo":[{}],"s":{"in":{},"null":null},"t":""}`, `{"o":null,"n":null,"l":null,"ll":[],"lo":[null],"s":{},"t":null}`},
		"names":    {`{"":1,"a.b":2,"a":{"b":3,"":4,"b.c":[5]},"Frage Text":"x","日本語":{"キー":"値"},"quote\"\n":6,"list":7,"element":[{"list":[8]}],"key_value":9}`},
		"deep":     {`{"id":1,"tree":` + deep + `}`, `{"id":2,"tree":null}`},
		"keys":     keys,
		"late":     late,
		"many":     many,
		"strings":  {`{"s":"\u0000\u001f\"\\\/\b\f\n\r\t","e":"😀 \ud83d\ude00 日本 \u2028","long":"` + strings.Repeat("x", 200_000) + `"}`, `{"s":"","e":null,"long":"y"}`},
		"case":     {`{"A":1,"a":2,"s":{"X":1,"x":2}}`},
		"gleaner":  {`{"question":"q","response":"r","gleaner":{"id":"in-1/0.000","model":"sim:latest","options":{"num_predict":1024},"seed":1749511394,"sample":0,"finish":"stop"}}`, `{"question":"q","response":null,"gleaner":{"id":"in-1/1.000","model":"sim:latest","options":{},"seed":1,"sample":0}}`},
		"one_null": {`{"a":null}`},
	}
}

func TestEveryLoaderReadsWhatIsWritten(t *testing.T) {
	folder := t.TempDir()
	for name, lines := range exports() {
		var rows [][]byte
		for _, line := range lines {
			rows = append(rows, []byte(line))
		}
		file := writeFile(t, rows)
		if err := os.WriteFile(filepath.Join(folder, name+".parquet"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".jsonl"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var schema parquet.Schema // a last shard may have no rows
	if err := schema.Observe([]byte(`{"a":1,"l":[{"b":"c"}]}`)); err != nil {
		t.Fatal(err)
	}
	var none bytes.Buffer
	w, err := parquet.NewWriter(&none, &schema)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(w.Close(), os.WriteFile(filepath.Join(folder, "no_rows.parquet"), none.Bytes(), 0o600), os.WriteFile(filepath.Join(folder, "no_rows.jsonl"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	runPython(t, "check.py", folder)
}

func TestThePrintedAdviceWorksWithPyarrow(t *testing.T) {
	folder := t.TempDir()
	file := writeFile(t, [][]byte{[]byte(`{"a":1}`)})
	if err := os.WriteFile(filepath.Join(folder, "OLD.parquet"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, command, ok := strings.Cut(parquet.RewriteAdvice(), "as by: python3 ")
	if !ok {
		t.Fatalf("the advice is %q", parquet.RewriteAdvice())
	}
	shell := exec.Command("bash", "-c", `"$LOADERS_TEST_PYTHON" `+command)
	shell.Dir = folder
	shell.Env = append(os.Environ(), "LOADERS_TEST_PYTHON="+python(t))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	if got := string(readFile(t, filepath.Join(folder, "NEW.parquet"))); got != "{\"a\":1}\n" {
		t.Errorf("it became %q", got)
	}
}
