package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sharded exports rows to a folder of small shards.
func sharded(t testing.TB, c Config, n int, limit int64) (Tally, error) {
	t.Helper()
	rows, texts := numbered(n)
	c, names := settled(t, testRun(), c, rows...)
	x, err := New(testRun(), c, names, nil)
	if err != nil {
		return Tally{}, err
	}
	defer x.Abort()
	x.out.(*columnarWriter).limit = limit
	for _, a := range answered(rows, texts...) {
		if err := x.Add(a); err != nil {
			return Tally{}, err
		}
	}
	return x.Commit()
}

func TestAFolderHoldsShardsAndACard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	tally, err := sharded(t, Config{Out: dir + "/"}, 40, 1)
	if err != nil {
		t.Fatal(err)
	}
	names := shown(t, dir, true)
	if tally.Files < 2 || names[0] != folderMark || names[1] != cardName || names[2] != shardName(0, tally.Files) || len(names) != tally.Files+2 {
		t.Errorf("%+v: %v", tally, names)
	}
	second, err := sharded(t, Config{Out: dir}, 3, 1<<20)
	if err != nil || second.Files != 1 {
		t.Fatal(second, err)
	}
	if diff := cmp.Diff([]string{folderMark, cardName, "train-00000-of-00001.parquet"}, shown(t, dir, true)); diff != "" {
		t.Error(diff)
	}
	if empty, err := sharded(t, Config{Out: dir}, 0, 1); err != nil || empty.Files != 1 {
		t.Errorf("%+v, %v", empty, err)
	}
}

func TestASecondExportReplacesOnlyWhatTheFirstWrote(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "notes.txt"), "mine")
	put(t, filepath.Join(dir, "test.parquet"), "mine")
	for range 2 {
		if _, err := sharded(t, Config{Out: dir}, 3, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		cardName: "README.md in it was changed since Gleaner wrote it: move it away, choose another folder, or replace it with --force",
		"train-00000-of-00009.parquet": "train-00000-of-00009.parquet in it was not written by Gleaner, and would be part of the dataset or replaced: " +
			"choose another folder, or replace it with --force",
	} {
		before := contents(t, dir)
		path := filepath.Join(dir, name)
		put(t, path, "mine")
		if _, err := sharded(t, Config{Out: dir}, 3, 1<<20); err == nil || err.Error() != "output "+dir+": "+want {
			t.Errorf("%s: %v", name, err)
		}
		if is, _ := os.ReadFile(path); string(is) != "mine" {
			t.Errorf("%s was overwritten", name)
		}
		if _, err := sharded(t, Config{Out: dir, Force: true}, 3, 1<<20); err != nil {
			t.Error(err)
		}
		after := contents(t, dir)
		if after[path] == before[path] && name != cardName {
			continue // it is gone, as it was before
		}
		if is, _ := os.ReadFile(path); string(is) == "mine" {
			t.Errorf("%s stays with --force", name)
		}
	}
	for _, name := range []string{"notes.txt", "test.parquet"} {
		if is, _ := os.ReadFile(filepath.Join(dir, name)); string(is) != "mine" {
			t.Errorf("%s was overwritten", name)
		}
	}
}

func TestTheCardSaysWhatTheDatasetIs(t *testing.T) {
	dir := t.TempDir()
	run := testRun()
	run.Spec.System = "Be ```brief```."
	run.Spec.Simulated = true
	rows := []string{`{"q": "x", "response": 1}`, `{"q": "y"}`, `{"q": "z"}`}
	if _, err := exported(t, run, Config{Out: dir, Version: "v9"}, asked{"S", "why?"}, answered(rows, "A.", "", "B.")); err != nil {
		t.Fatal(err)
	}
	card := unpacked(t, filepath.Join(dir, cardName))
	for _, want := range []string{
		"---\npretty_name: \"r\"\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train-*-of-*.parquet\ndataset_info:\n  features:\n  - name: \"q\"\n    dtype: string\n  - name: \"response\"\n    dtype: int64\n  - name: \"response_2\"\n    dtype: string\n  - name: \"gleaner\"\n    struct:\n    - name: \"id\"\n", "size_categories:\n- n<1K\n", "- synthetic\n",
		"**These answers are simulated", "| model | `m` |", "| engine and digest of the model | `ollama abababababab` (2 answers) |", "| options | `{\"num_predict\":4}` |", "| SHA-256 of the source's rows | `d1` |",
		"````\nBe ```brief```.\n````", "```\n{{ q }}\n```", "Of 3 generations 1 have no answer", "1 of them were left out", "- `response_2`, string: the answer", "- `gleaner`, struct: where the answer comes from",
		`the rows have a column "response", which stays: Gleaner's is "response\_2"`, "Gleaner v9",
	} {
		if !strings.Contains(card, want) {
			t.Errorf("it does not say %q:\n%s", want, card)
		}
	}
}

func TestSizeCategoriesAreTheHubs(t *testing.T) {
	for rows, want := range map[int]string{0: "n<1K", 999: "n<1K", 1000: "1K<n<10K", 5_000_000: "1M<n<10M", 2_000_000_000_000: "n>1T"} {
		if got := sizeCategory(rows); got != want {
			t.Errorf("%d: %s", rows, got)
		}
	}
}

// contents returns the sizes of all files below a folder.
func contents(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			sizes[path] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}
