package export

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/needtest"
)

// python returns the interpreter that has the libraries with which people load datasets.
func python(t testing.TB) string {
	t.Helper()
	return needtest.Env(t, "LOADERS_TEST_PYTHON", "run eval \"$(bash .ci/loaders.sh | sed 's/^/export /')\", or task loaders")
}

// A loading is a file that load.py loads, and what has to come out.
type loading struct {
	Path      string   `json:"path"`
	Suffix    string   `json:"suffix"`
	Reference string   `json:"reference"`
	Columns   []string `json:"columns"`
	Texts     []string `json:"texts"`
}

// varied returns rows with columns of every kind, and answers that are hard to write.
func varied(n int) (rows, texts []string) {
	for i := range n {
		score, page := fmt.Sprint(float64(i)/4), fmt.Sprint(i)
		if i%3 == 0 {
			score, page = "null", "null"
		}
		rows = append(rows, fmt.Sprintf(`{"id": %d, "q": "How much is %d+1?", "score": %s, "n": %d, "ok": %v, "tags": ["a", "b%d"], "deep": [[{"x": [1.5]}], []], "Größe, in: 'cm' #": 1, "meta": {"src": "made", "page": %s}, "day": "2026-03-%02d", "note": "%s"}`,
			9007199254740993+i, i, score, i, i%2 == 0, i, page, i%28+1, []string{"", "x", " padded ", `a \"b\", c\nd`}[i%4]))
		texts = append(texts, []string{"It is 1.", "Line one\nline \"two\", and three\r\nend", "é 日本語 😀 \u2028 \u0085", "- =1+1", "{\"a\": 1}", "NaN or 5", "\ttab", "a;b|c"}[i%8]+fmt.Sprint(" #", i))
	}
	return rows, texts
}

// load runs load.py.
func load(t *testing.T, cases []loading) {
	t.Helper()
	interpreter := python(t)
	data, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "cases.json")
	put(t, list, string(data))
	command := exec.Command(interpreter, filepath.Join("testdata", "load.py"), list)
	command.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "HF_HOME="+t.TempDir(), "PYTHONIOENCODING=utf-8")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// Readers guess types from the first rows of a table: polars from 100, datasets from 10,000, DuckDB
// from 20,480. What comes later must not surprise them.
func TestATableIsLoadedWhoseFirstRowsAreNotLikeTheOthers(t *testing.T) {
	dir := t.TempDir()
	var rows, texts []string
	for i := range 12_000 {
		score, code, text := fmt.Sprint(i), fmt.Sprint(1000+i), fmt.Sprint(i)
		if i >= 11_000 {
			score = "0.5"
		}
		if i >= 50 {
			code, text = "a"+code, "It is "+text
		}
		rows = append(rows, fmt.Sprintf(`{"score": %s, "code": "%s"}`, score, code))
		texts = append(texts, text)
	}
	reference := filepath.Join(dir, "reference.jsonl")
	var cases []loading
	for _, suffix := range []string{"jsonl", "csv"} {
		c := Config{Out: filepath.Join(dir, "reference."+suffix), Provenance: ProvenanceNone}
		if _, err := exported(t, testRun(), c, nil, answered(rows, texts...)); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, loading{Path: c.Out, Suffix: suffix, Reference: reference, Columns: []string{"score", "code", "response"}, Texts: []string{"response"}})
	}
	load(t, cases[1:])
}

// Every layout in every format is loaded by datasets, pandas, polars, DuckDB and pyarrow, without
// an argument: its columns, types, counts and texts.
func TestEachLayoutInEachFormatIsLoaded(t *testing.T) {
	rows, texts := varied(60)
	dir := t.TempDir()
	var cases []loading
	for _, layout := range Layouts() {
		for _, provenance := range []string{ProvenanceNested, ProvenanceFlat} {
			c := Config{Layout: layout, Provenance: provenance}
			reference := filepath.Join(dir, layout+"-"+provenance+".jsonl")
			var columns []string
			for _, suffix := range []string{"jsonl", "json", "csv", "tsv", "parquet", "folder"} {
				if layout == LayoutOpenAIBatch && suffix != "jsonl" {
					continue
				}
				c.Out = strings.TrimSuffix(reference, "jsonl") + suffix
				if suffix == "folder" {
					c.Out += "/"
				}
				if _, err := exported(t, testRun(), c, asked{question: "why?"}, answered(rows, texts...)); err != nil {
					t.Fatal(err)
				}
				if columns == nil {
					first, _, _ := strings.Cut(unpacked(t, reference), "\n")
					for _, f := range scanValid([]byte(first), nil) {
						columns = append(columns, f.text())
					}
				}
				is := loading{Path: c.Out, Suffix: suffix, Reference: reference, Columns: columns, Texts: []string{"q"}}
				if answer := answerColumn(layout); answer != columnMessages && answer != columnConversations && layout != LayoutOpenAIBatch {
					is.Texts = append(is.Texts, answer)
				}
				cases = append(cases, is)
			}
		}
	}
	load(t, cases)
}
