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
	"gleaner/internal/pipeline"
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
	dir := t.TempDir()
	rows, texts := varied(60)
	thinking := testRun()
	thinking.Spec.Options.Think = "on"
	thinking.Spec.System = "Be brief."
	fields := testRun()
	fields.Spec.Options.Schema = []byte(`{"properties":{"label":{},"score":{},"q":{},"list":{},"inner":{},"rare":{}}}`)
	var objects []string
	for i := range rows {
		rare := ""
		if i == 50 {
			rare = `,"rare":0.5`
		}
		objects = append(objects, fmt.Sprintf(`{"label":"l %d","score":%d,"q":null,"list":["a","b%d"],"inner":{"x":[%d.5]}%s}`, i, i, i, i, rare))
	}
	var cases []loading
	for _, of := range []struct {
		name   string
		run    pipeline.Run
		config Config
		system string
		texts  []string
	}{
		{"nested", testRun(), Config{Provenance: ProvenanceNested}, "", texts},
		{"flat", testRun(), Config{Provenance: ProvenanceFlat}, "", texts},
		{"thinking", thinking, Config{Provenance: ProvenanceFlat}, "Be brief.", texts},
		{"fields", fields, Config{Provenance: ProvenanceNone, Expand: true}, "", objects},
	} {
		for _, layout := range Layouts() {
			if layout == LayoutOpenAIBatch && of.config.Expand {
				continue
			}
			c := of.config
			c.Layout = layout
			answers := answered(rows, of.texts...)
			for i := range answers {
				answers[i].Result.Reasoning = fmt.Sprint("Hm, ", i)
			}
			cases = append(cases, inEachFormat(t, filepath.Join(dir, layout+"-"+of.name), of.run, c, asked{of.system, "why?"}, answers)...)
		}
	}
	load(t, cases)
}

// inEachFormat exports answers in every format, to names that begin alike.
func inEachFormat(t *testing.T, begin string, run pipeline.Run, c Config, r MessageRenderer, answers []pipeline.Answer) (cases []loading) {
	t.Helper()
	var columns []string
	for _, suffix := range []string{"jsonl", "json", "csv", "tsv", "parquet", "folder", "jsonl.gz", "json.gz", "csv.gz", "csv.zst"} {
		if c.Layout == LayoutOpenAIBatch && suffix != "jsonl" {
			continue
		}
		c.Out = begin + "." + suffix
		if suffix == "folder" {
			c.Out += "/"
		}
		if _, err := exported(t, run, c, r, answers); err != nil {
			t.Fatal(err)
		}
		if columns == nil {
			first, _, _ := strings.Cut(unpacked(t, c.Out), "\n")
			for _, f := range scanValid([]byte(first), nil) {
				columns = append(columns, f.text())
			}
		}
		is := loading{Path: c.Out, Suffix: suffix, Reference: begin + ".jsonl", Columns: columns, Texts: []string{"q"}}
		answer := answerColumn(c.Layout)
		isTalk := answer == columnMessages || answer == columnConversations || c.Layout == LayoutPromptCompletion && run.Spec.System != ""
		if !isTalk && c.Layout != LayoutOpenAIBatch {
			is.Texts = append(is.Texts, answer)
		}
		cases = append(cases, is)
	}
	return cases
}
