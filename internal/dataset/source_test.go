package dataset

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inputFiles writes files below a new folder and returns it.
func inputFiles(t testing.TB, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readSource returns the rows of a source.
func readSource(t testing.TB, o SourceOptions) (*Source, []string) {
	t.Helper()
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return s, rows
}

// below returns the paths of files relative to a folder.
func below(t testing.TB, dir string, s *Source) (names []string) {
	t.Helper()
	for _, f := range s.Files() {
		name, err := filepath.Rel(dir, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(name))
	}
	return names
}

func TestAFolderIsReadInNaturalOrder(t *testing.T) {
	dir := inputFiles(t, map[string]string{
		"part-10.jsonl": `{"n":10}`, "part-2.jsonl": `{"n":2}`, "part-1.csv": "n,m\n1,1\n", "more/part-3.json": `[{"n":3}]`, "notes": `{"n":4}`,
		"README.md": "# rows, of mine", "dataset_info.json": "{}", ".hidden.jsonl": "{}", ".git/x.jsonl": "{}", "cat.png": "\x89PNG\r\n", "todo.txt": "buy milk, eggs\n", "none": "",
	})
	s, rows := readSource(t, SourceOptions{Inputs: []string{dir}})
	if diff := cmp.Diff([]string{"more/part-3.json", "notes", "part-1.csv", "part-2.jsonl", "part-10.jsonl"}, below(t, dir, s)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`{"n":3}`, `{"n":4}`, `{"n":"1","m":"1"}`, `{"n":2}`, `{"n":10}`}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	left := []string{
		".git: it is hidden", ".hidden.jsonl: it is hidden", "README.md: it describes the data", "cat.png: it is an image",
		"dataset_info.json: it describes the data", "none: it is empty", "todo.txt: its name and its beginning are not those of rows",
	}
	for i, reason := range s.LeftOut() {
		if want := filepath.Join(dir, left[i]); i >= len(left) || reason != want {
			t.Errorf("left out: %s, want %s", reason, want)
		}
	}
	if len(s.LeftOut()) != len(left) || s.Name() != filepath.Base(dir) {
		t.Errorf("%d left out of %s, want %d of %s", len(s.LeftOut()), s.Name(), len(left), filepath.Base(dir))
	}
}

func TestPatternsAreExpanded(t *testing.T) {
	dir := inputFiles(t, map[string]string{
		"train-2.jsonl": `{"n":2}`, "train-10.jsonl": `{"n":10}`, "test-1.jsonl": `{"n":0}`, "a/train-1.jsonl": `{"n":1}`, "a/b/train-0.jsonl": `{"n":-1}`, "odd[1].jsonl": `{"n":7}`,
	})
	for pattern, want := range map[string][]string{
		"train-*.jsonl":    {"train-2.jsonl", "train-10.jsonl"},
		"t*-?.jsonl":       {"test-1.jsonl", "train-2.jsonl"},
		"**/train-*.jsonl": {"a/b/train-0.jsonl", "a/train-1.jsonl", "train-2.jsonl", "train-10.jsonl"},
		"*/train-*.jsonl":  {"a/train-1.jsonl"},
		"odd[1].jsonl":     {"odd[1].jsonl"}, // the name as it stands comes first
		"a":                {"a/b/train-0.jsonl", "a/train-1.jsonl"},
	} {
		s, err := NewSource(SourceOptions{Inputs: []string{filepath.Join(dir, pattern)}})
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if diff := cmp.Diff(want, below(t, dir, s)); diff != "" || s.Name() != filepath.Base(pattern) {
			t.Errorf("%s is called %s (-want +got):\n%s", pattern, s.Name(), diff)
		}
	}
}

func TestSeveralInputsAreReadInTheOrderGiven(t *testing.T) {
	dir := inputFiles(t, map[string]string{"b-00001-of-00002.jsonl": `{"n":1}`, "b-00000-of-00002.jsonl": `{"n":0}`})
	one, zero := filepath.Join(dir, "b-00001-of-00002.jsonl"), filepath.Join(dir, "b-00000-of-00002.jsonl")
	s, rows := readSource(t, SourceOptions{Inputs: []string{one, zero, filepath.Join(dir, "*.jsonl")}})
	if diff := cmp.Diff([]string{`{"n":1}`, `{"n":0}`}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if want := []string{zero + ": it is read already", one + ": it is read already"}; !slices.Equal(s.LeftOut(), want) {
		t.Errorf("left out %q, want %q", s.LeftOut(), want)
	}
	for _, c := range []struct {
		inputs []string
		want   string
	}{
		{[]string{"x/b-00000-of-00002.jsonl", "x/b-00001-of-00002.jsonl"}, "b-*-of-00002.jsonl"},
		{[]string{"q.csv", "answers.jsonl", "-"}, "q.csv and 2 more"},
		{[]string{"-"}, "stdin"},
		{[]string{"data/"}, "data"},
	} {
		if got := nameOf(c.inputs, nil); got != c.want {
			t.Errorf("%q are called %s, want %s", c.inputs, got, c.want)
		}
	}
}

func TestAMissingInputSaysWhatThereIs(t *testing.T) {
	dir := inputFiles(t, map[string]string{"train.jsonl": "{}", "other/cat.png": "\x89PNG\r\n", "ds/data-0.arrow": "\xff\xff\xff\xff\x78\x00\x00\x00", "ds/state.json": "{}"})
	empty := t.TempDir()
	for input, want := range map[string]string{
		filepath.Join(dir, "trian.jsonl"): `cannot be opened: no such file or directory: check the path; the folder ` + dir + ` has "ds", "other", "train.jsonl"`,
		filepath.Join(dir, "no", "x"):     `cannot be opened: no such file or directory: check the path; there is no folder ` + filepath.Join(dir, "no"),
		filepath.Join(dir, "x*.jsonl"):    `: no file has a name like that: the folder ` + dir + ` has "ds", "other", "train.jsonl"`,
		filepath.Join(dir, "[.jsonl"):     `: the pattern is not complete: close its bracket, or put a backslash before it`,
		filepath.Join(dir, "other"):       `is a folder without a file that can be read (JSON, CSV, TSV, Parquet): ` + filepath.Join(dir, "other", "cat.png") + `: it is an image`,
		empty:                             `is an empty folder: name a file, or the folder that has the files`,
		filepath.Join(dir, "ds"):          `was written by save_to_disk of the library datasets, as Arrow files: write it as Parquet, which keeps every number (to_json rounds), with: python3 -c 'import sys; from datasets import load_from_disk; load_from_disk(sys.argv[1]).to_parquet("rows.parquet")' ` + filepath.Join(dir, "ds"),
		"ftp://x/y.jsonl":                 `is an address, not a file: download it and name the file`,
	} {
		_, err := NewSource(SourceOptions{Inputs: []string{input}})
		if err == nil || strings.TrimPrefix(strings.TrimPrefix(err.Error(), "dataset "+input), " ") != want {
			t.Errorf("%s: %v\nwant %s", input, err, want)
		}
	}
	for _, c := range []struct {
		o    SourceOptions
		want string
	}{
		{SourceOptions{}, "input: no dataset: name a file, a folder, a pattern in quotes, or - for the standard input"},
		{SourceOptions{Inputs: []string{"-", "-"}}, "input: the standard input, -, is given twice: it can be read once"},
		{SourceOptions{Inputs: []string{"-"}, NaN: "0"}, `nan: there is no "0": the only value is null, which reads NaN and Infinity as null`},
		{SourceOptions{Inputs: []string{"-"}, Encoding: "klingon"}, `encoding: "klingon" is not known: name one like utf-8, utf-16, cp1252, latin-1, iso-8859-2, shift_jis, gb18030`},
	} {
		if _, err := NewSource(c.o); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestTheStandardInputIsReadOnceAndCanBeOpenedAgain(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var content strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&content, "{\"n\":%d}\n", i)
	}
	for _, format := range []string{"plain", "gzip"} {
		text := content.String()
		if format == "gzip" {
			text = packed(t, "gzip", text)
		}
		once := &endless{block: []byte(text), left: len(text)} // fails the test if it is read behind its end
		s, err := NewSource(SourceOptions{Inputs: []string{"-"}, Stdin: once})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err != nil { // and the rest is left
			t.Fatal(err)
		}
		if once.left < len(text)/2 && format == "plain" {
			t.Errorf("%d of %d bytes were read for one row", len(text)-once.left, len(text))
		}
		r.Close()
		for range 2 {
			if r, err = s.Open(); err != nil {
				t.Fatal(err)
			}
			rows, err := readAll(r)
			if err != nil || strings.Join(rows, "\n")+"\n" != content.String() {
				t.Errorf("%s: %d rows, %v", format, len(rows), err)
			}
			r.Close()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(temporary); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

func TestAnEmptyFileIsNamed(t *testing.T) {
	dir := inputFiles(t, map[string]string{"a.jsonl": "{}", "b.jsonl": ""})
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = readAll(r)
	if want := "dataset " + filepath.Join(dir, "b.jsonl") + " is empty (0 bytes): it was not written or downloaded to its end; do that again"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestPositionAndProgressFollowTheFiles(t *testing.T) {
	dir := inputFiles(t, map[string]string{"a.jsonl": "{\"n\":1}\n{\"n\":2}\n", "b.csv": "n,m\n3,4\nx\n5,6\n", "c.json": "[\n{\"n\":\n7}]"})
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for {
		row, err := r.Next()
		if err == io.EOF {
			break
		}
		file, line := r.Position()
		got = append(got, fmt.Sprintf("%s:%d %s %v", filepath.Base(file), line, row, err != nil))
	}
	want := []string{`a.jsonl:1 {"n":1} false`, `a.jsonl:2 {"n":2} false`, `b.csv:2 {"n":"3","m":"4"} false`, `b.csv:3  true`, `b.csv:4 {"n":"5","m":"6"} false`, `c.json:2 {"n":7} false`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if done, total := r.Progress(); done != total || total != 16+14+11 {
		t.Errorf("%d of %d bytes were read", done, total)
	}
}
