package export

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/needtest"
)

// put writes a file of someone else.
func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// again exports one row to a path.
func again(t testing.TB, c Config, out string) error {
	t.Helper()
	c.Out = out
	_, err := exported(t, testRun(), c, asked{question: "why?"}, answered([]string{`{"q": 1}`}, "A."))
	return err
}

func TestTheEndOfTheNameSaysTheFormat(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]format{
		"-": {kind: formatLines}, "a.jsonl": {kind: formatLines}, "a.ndjson.gz": {kind: formatLines, packing: ".gz"}, "A.JSONL.ZST": {kind: formatLines, packing: ".zst"},
		"a.json": {kind: formatArray}, "a.csv.gz": {kind: formatCSV, comma: ',', packing: ".gz"}, "a.tsv": {kind: formatCSV, comma: '\t'},
		"a.b.parquet": {kind: formatParquet}, "new/": {kind: formatFolder}, "hf://datasets/me/a.csv": {kind: formatFolder}, dir: {kind: formatFolder}, os.DevNull: {kind: formatLines},
	} {
		if got, err := formatOf(name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "a", "a.txt", "a.xlsx", "a.gz", "a.parquet.zst", "s3://bucket/a.parquet", ".jsonl.txt"} {
		if _, err := formatOf(name); err == nil || !strings.Contains(err.Error(), "--out") || strings.Contains(name, "://") && !strings.Contains(err.Error(), "no file or folder") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatCannotBeExportedIsSaidBeforeAnythingIsGenerated(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.jsonl")
	put(t, filepath.Join(dir, "file.csv"), "a\n")
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Out: out, Layout: "xml"}, `--layout "xml": there are rows, chat, sharegpt, alpaca, prompt-completion, openai-batch`},
		{Config{Out: out, Provenance: "all"}, `--provenance "all": there are nested, flat, none`},
		{Config{Out: out, Reasoning: "no"}, `--reasoning "no": there are column, inline`},
		{Config{Out: out, CSVSafe: true}, "--csv-safe guards .csv and .tsv files, and " + out + " is none: leave it out"},
		{Config{Out: out, Layout: LayoutChat, ResponseField: "a"}, "--response-field names the answer's column, and layout chat has none: leave it out"},
		{Config{Out: out, ResponseField: "a", Replace: "b"}, "--response-field and --replace exclude each other: --replace COLUMN already says where the answer goes"},
		{Config{Out: out, Layout: LayoutOpenAIBatch, Replace: "b"}, "--replace: the names of layout openai-batch are fixed: leave it out"},
		{Config{Out: filepath.Join(dir, "a.csv"), Layout: LayoutOpenAIBatch}, "layout openai-batch is a file of JSON Lines: write to a name that ends in .jsonl, not to " + filepath.Join(dir, "a.csv")},
		{Config{Out: filepath.Join(dir, "none", "out.jsonl")}, "output " + filepath.Join(dir, "none", "out.jsonl") + " cannot be written: no such file or directory: create its folder first"},
		{Config{Out: filepath.Join(dir, "file.csv") + "/"}, "output " + filepath.Join(dir, "file.csv") + "/ is a file and no folder: leave out the last slash, or choose another name"},
	} {
		if err := Check(c.config); err == nil || err.Error() != c.want {
			t.Errorf("%+v:\n%v\nwant\n%s", c.config, err, c.want)
		}
	}
	for _, fine := range []Config{{Out: out}, {Out: "-"}, {Out: filepath.Join(dir, "a", "b") + "/"}, {Out: filepath.Join(dir, "a.csv"), CSVSafe: true}, {Out: out, Layout: LayoutPromptCompletion, ResponseField: "a", Replace: "prompt"}} {
		if err := Check(fine); err != nil {
			t.Errorf("%+v: %v", fine, err)
		}
	}
	if diff := cmp.Diff([]string{"file.csv"}, shown(t, dir, true)); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyWhatGleanerWroteIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.jsonl")
	if err := again(t, Config{}, out); err != nil {
		t.Fatal(err)
	}
	if err := again(t, Config{}, out); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{".out.jsonl.gleaner", "out.jsonl"}, shown(t, dir, true)); diff != "" {
		t.Error(diff)
	}
	ours, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	put(t, out, string(ours)) // a copy of the same bytes, with another time
	if err := again(t, Config{}, out); err != nil {
		t.Error(err)
	}
	edited := strings.Replace(string(ours), "A.", "B.", 1)
	put(t, out, edited)
	if err := again(t, Config{}, out); err == nil || err.Error() != "output "+out+": "+out+" was changed since Gleaner wrote it, and is not overwritten: choose another name, or overwrite it with --force" {
		t.Error(err)
	}
	moved := filepath.Join(dir, "moved.jsonl")
	if err := os.Rename(out, moved); err != nil {
		t.Fatal(err)
	}
	if err := again(t, Config{}, moved); err == nil || err.Error() != "output "+moved+": "+moved+" is there already, and has no mark that Gleaner wrote it there: choose another name, or overwrite it with --force" {
		t.Error(err)
	}
	if is, _ := os.ReadFile(moved); string(is) != edited {
		t.Errorf("it was overwritten: %s", is)
	}
	if err := again(t, Config{Force: true}, moved); err != nil {
		t.Error(err)
	}
	if err := again(t, Config{}, moved); err != nil {
		t.Error(err)
	}
}

func TestANameThatGleanerChoseMayHaveNoMark(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	put(t, out, "of an earlier version\n")
	if err := again(t, Config{OwnName: true}, out); err != nil {
		t.Error(err)
	}
	put(t, out, "edited\n")
	if err := again(t, Config{OwnName: true}, out); err == nil {
		t.Error("what was edited is overwritten")
	}
}

func TestAnInputIsNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "in.jsonl")
	put(t, input, "{}\n")
	link, hard, folder := filepath.Join(dir, "link.jsonl"), filepath.Join(dir, "hard.jsonl"), filepath.Join(dir, "folder")
	if err := errors.Join(os.Symlink("in.jsonl", link), os.Link(input, hard), os.Mkdir(folder, 0o700)); err != nil {
		needtest.Skip(t, "no links here: %v", err)
	}
	if err := os.Symlink("..", filepath.Join(folder, "up")); err != nil {
		t.Fatal(err)
	}
	for _, inputs := range [][]string{{input}, {link}, {"https://example.com/a.jsonl", "-", input}, {filepath.Join(dir, "in*.jsonl")}, {dir}, {folder + "/.."}} {
		for _, out := range []string{input, link, hard, filepath.Join(folder, "up", "in.jsonl")} {
			if err := again(t, Config{Force: true, Inputs: inputs}, out); err == nil || !strings.Contains(err.Error(), "input") {
				t.Errorf("input %s, output %s: %v", inputs, out, err)
			}
		}
	}
	if err := again(t, Config{Inputs: []string{dir}}, filepath.Join(folder, "new.jsonl")); err == nil || !strings.Contains(err.Error(), "would be read as input the next time") {
		t.Error(err)
	}
	if err := again(t, Config{Inputs: []string{dir}}, folder+"/"); err == nil {
		t.Error("a folder in the input folder is written")
	}
	put(t, filepath.Join(folder, cardName), "input")
	if err := again(t, Config{Force: true, Inputs: []string{filepath.Join(folder, cardName)}}, folder+"/"); err == nil || !strings.Contains(err.Error(), "is the input") {
		t.Error(err)
	}
	if is, _ := os.ReadFile(input); string(is) != "{}\n" {
		t.Errorf("the input is %s", is)
	}
}

// An export knows no more than the name of the run's dataset.
// A run knows its inputs again when it is exported later, without their names.
func TestAnInputOfTheRunIsNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	input, link, folder := filepath.Join(dir, "in.csv"), filepath.Join(dir, "link.jsonl"), filepath.Join(dir, "folder")
	put(t, input, "q\n1\n")
	if err := errors.Join(os.Symlink("in.csv", link), os.Mkdir(folder, 0o700)); err != nil {
		needtest.Skip(t, "no links here: %v", err)
	}
	shard := filepath.Join(folder, shardName(0, 1))
	put(t, shard, "rows")
	run := testRun()
	run.Spec.Dataset.Files = InputKeys([]string{link, shard, "standard input", filepath.Join(dir, "gone.jsonl")})
	if keys := run.Spec.Dataset.Files; len(keys) != 2 || strings.Contains(strings.Join(keys, ""), "in") {
		t.Errorf("its keys are %v", keys)
	}
	for _, out := range []string{input, link, folder, folder + "/"} {
		_, err := exported(t, run, Config{Out: out, Force: true}, nil, answered([]string{`{"q": 1}`}, "A."))
		if err == nil || !strings.Contains(err.Error(), "was an input of run r, which is never overwritten") {
			t.Errorf("%s: %v", out, err)
		}
	}
	if _, err := exported(t, run, Config{Out: filepath.Join(dir, "new.csv")}, nil, answered([]string{`{"q": 1}`}, "A.")); err != nil {
		t.Error(err)
	}
	if unpacked(t, input) != "q\n1\n" || unpacked(t, shard) != "rows" {
		t.Error("an input is changed")
	}
}

func TestAFileWithTheNameOfTheDatasetIsNotOverwritten(t *testing.T) {
	out := filepath.Join(t.TempDir(), "rows.jsonl")
	put(t, out, "{}\n")
	if err := again(t, Config{Force: true}, out); err == nil || !strings.Contains(err.Error(), "has the name of the dataset of run r") {
		t.Error(err)
	}
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is the run's own
		if err := again(t, Config{}, out); err != nil {
			t.Error(err)
		}
	}
	other := testRun()
	other.Name = "other" // whose dataset the answers of run r may be
	_, err := exported(t, other, Config{Out: out}, nil, answered([]string{`{"q": 1}`}, "A."))
	if err == nil || !strings.Contains(err.Error(), "has the name of the dataset of run other") {
		t.Error(err)
	}
}

func TestALinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	link, broken := filepath.Join(dir, "link.jsonl"), filepath.Join(dir, "broken.jsonl")
	if err := errors.Join(again(t, Config{}, filepath.Join(dir, "real.jsonl")), os.Symlink("real.jsonl", link), os.Symlink("none", broken)); err != nil {
		needtest.Skip(t, "no links here: %v", err)
	}
	if err := again(t, Config{Layout: LayoutChat}, link); err != nil {
		t.Fatal(err)
	}
	if is := unpacked(t, filepath.Join(dir, "real.jsonl")); !strings.HasPrefix(is, `{"messages"`) {
		t.Error(is)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if err := again(t, Config{}, broken); err == nil || err.Error() != "output "+broken+" is a link to what does not exist: remove the link or choose another name" {
		t.Error(err)
	}
}

func TestTheFileAppearsUnderItsNameAtCommit(t *testing.T) {
	for _, name := range []string{"out.jsonl", "out.json.gz", "out.csv", "out.tsv.zst", "out.parquet"} {
		dir := t.TempDir()
		out := filepath.Join(dir, name)
		put(t, out, "old")
		c, names := settled(t, testRun(), Config{Out: out, Force: true}, `{"q": 1}`)
		x, err := New(testRun(), c, names, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(answered([]string{`{"q": 1}`}, "A.")[0]); err != nil {
			t.Fatal(err)
		}
		if is, _ := os.ReadFile(out); string(is) != "old" {
			t.Errorf("before: %q", is)
		}
		if _, err := x.Commit(); err != nil {
			t.Fatal(err)
		}
		x.Abort()
		if is, _ := os.ReadFile(out); len(is) < 10 {
			t.Errorf("after: %q", is)
		}
		if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if diff := cmp.Diff([]string{name}, shown(t, dir, false)); diff != "" {
			t.Error(diff)
		}
		if _, err := x.Commit(); err == nil || x.Add(answered([]string{`{"q": 1}`}, "A.")[0]) == nil {
			t.Error("a committed export can still be written")
		}
	}
}

func TestAbortLeavesWhatWasThere(t *testing.T) {
	for _, name := range []string{"out.jsonl", "out.csv", "out.parquet", "new/", "old/"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "old"), 0o700); err != nil {
			t.Fatal(err)
		}
		out := dir + "/" + name
		before := shown(t, dir, true)
		c, names := settled(t, testRun(), Config{Out: out}, `{"q": 1}`)
		x, err := New(testRun(), c, names, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(answered([]string{`{"q": 1}`}, "A.")[0]); err != nil {
			t.Fatal(err)
		}
		x.Abort()
		x.Abort()
		if diff := cmp.Diff(before, shown(t, dir, true)); diff != "" || len(shown(t, filepath.Join(dir, "old"), true)) > 0 {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAFailedWriteRemovesTheTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.jsonl")
	if err := again(t, Config{}, out); err != nil {
		t.Fatal(err)
	}
	x, err := New(testRun(), Config{Out: out}, Names{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.file.draft.file.Close(); err != nil { // like a disk that fails
		t.Fatal(err)
	}
	err = x.Add(answered([]string{`{"q": 1}`}, strings.Repeat("x", bufferSize))[0])
	if !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "output "+out+" cannot be written: ") {
		t.Errorf("write: %v", err)
	}
	if _, again := x.Commit(); again != err {
		t.Errorf("commit: %v", again)
	}
	if is := unpacked(t, out); !strings.HasPrefix(is, `{"q": 1`) {
		t.Errorf("%q", is)
	}
	if diff := cmp.Diff([]string{"out.jsonl"}, shown(t, dir, false)); diff != "" {
		t.Error(diff)
	}
}

func TestAFullDeviceIsNamedAndADeviceStaysADevice(t *testing.T) {
	info, err := os.Stat("/dev/full")
	if err != nil {
		needtest.Skip(t, "no /dev/full here")
	}
	err = again(t, Config{}, "/dev/full")
	if !errors.Is(err, syscall.ENOSPC) || err.Error() != "output /dev/full cannot be written: no space left on device: free some space or choose another disk" {
		t.Error(err)
	}
	if now, err := os.Stat("/dev/full"); err != nil || !os.SameFile(info, now) {
		t.Errorf("/dev/full was replaced: %v", err)
	}
}

func TestAnInterruptedExportIsStillKnown(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	if err := again(t, Config{}, out); err != nil {
		t.Fatal(err)
	}
	m, err := readMark(markOf(out))
	if err != nil || len(m.Files) != 1 || m.Run != "r" {
		t.Fatalf("%+v, %v", m, err)
	}
	m.Files = append(m.Files, marked{Name: "out.jsonl", Size: 1, SHA256: "new"}) // the state before the new file has its name
	if err := m.write(out, markOf(out)); err != nil {
		t.Fatal(err)
	}
	if err := again(t, Config{}, out); err != nil {
		t.Error(err)
	}
	put(t, markOf(out), "no mark")
	if err := again(t, Config{}, out); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
