package hub_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/hub"
	"gleaner/internal/hub/hubtest"
)

// A splitCase is a dataset of which each file holds its own path.
type splitCase struct {
	name, card string
	files      string
	source     hub.Source
	want       string // files, or what the error says after "! "
	leftOut    string
	differs    bool // from the real library, which fails there or reads what we do not
}

func splitCases() []splitCase {
	return []splitCase{
		{name: "one file is one split", files: "rows.csv README.md", want: "rows.csv"},
		{name: "files are called like splits", files: "train.csv test.csv", source: hub.Source{Split: "test"}, want: "test.csv"},
		{name: "words for validation", files: "a-dev.jsonl a-train.jsonl", source: hub.Source{Split: "validation"}, want: "a-dev.jsonl"},
		{name: "several splits", files: "a-dev.jsonl a-train.jsonl", want: "! train, validation"},
		{name: "folders are called like splits", files: "train/x.json test/y.json test-train.json", source: hub.Source{Split: "train"}, want: "train/x.json"},
		{name: "folders with more", files: "v1/my train 2/x.json v1/test/y.json", source: hub.Source{Split: "train"}, want: "v1/my train 2/x.json"},
		{name: "a word within a word is none", files: "trainer.csv contest.csv", want: "contest.csv trainer.csv"},
		{name: "shards", files: "data/random-00000-of-00002.parquet data/random-00001-of-00002-abc.parquet data/test-00000-of-00001.parquet train.csv", source: hub.Source{Split: "random"}, want: "data/random-00000-of-00002.parquet data/random-00001-of-00002-abc.parquet"},
		{name: "shards come first, in the usual order", files: "data/zoo-00000-of-00001.parquet data/test-00000-of-00001.parquet data/train-00000-of-00001.parquet train.csv", want: "! train, test, zoo"},
		{name: "the more frequent kind", files: "train/a.jsonl train/b.jsonl train/c.csv train/d.txt", want: "train/a.jsonl train/b.jsonl", leftOut: "train/c.csv"},
		{name: "Parquet in a draw", files: "train.csv train.parquet train.jsonl.gz", want: "train.parquet"},
		{name: "hidden and about itself", files: ".cache/a.jsonl __old__/b.jsonl dataset_info.json config.json c.jsonl", want: "c.jsonl"},
		{name: "no rows", differs: true, files: "a.png b.arrow", want: "! .arrow, .png"},
		{name: "a script", files: "rows.py README.md", want: "! hf://datasets/me/rows@refs/convert/parquet"},
		{name: "one config", card: "configs:\n- config_name: all\n  data_files: '*.jsonl'\n", files: "a.jsonl sub/b.jsonl", want: "a.jsonl"},
		{name: "a default config", card: "configs:\n- config_name: a\n  data_files: a.jsonl\n- config_name: b\n  default: true\n  data_files: [b.jsonl, c.jsonl]\n", files: "a.jsonl b.jsonl c.jsonl", want: "b.jsonl c.jsonl"},
		{name: "one called default", card: "configs:\n- config_name: a\n  data_files: a.jsonl\n- config_name: default\n  data_files:\n  - split: s.1\n    path: [b.jsonl, c*]\n", files: "a.jsonl b.jsonl c.jsonl", source: hub.Source{Split: "s.1"}, want: "b.jsonl c.jsonl"},
		{name: "folders of configs", card: "configs:\n- config_name: a\n  data_dir: one\n- config_name: b\n  data_dir: two\n", files: "one/train.csv one/test.csv two/x.csv", source: hub.Source{Subset: "a", Split: "train"}, want: "one/train.csv"},
		{name: "patterns below a folder", card: "configs:\n- config_name: a\n  data_dir: one\n  data_files: '**/*.csv'\n", files: "one/x/train.csv two.csv", want: "one/x/train.csv"},
		{name: "a folder in data_files", differs: true, card: "configs:\n- config_name: a\n  data_files: one\n", files: "one/x/y.csv two.csv", want: "one/x/y.csv"},
		{name: "a number as a name", differs: true, card: "configs:\n- config_name: 2023\n  data_files: a.csv\n", files: "a.csv", source: hub.Source{Subset: "2023"}, want: "a.csv"},
		{name: "a set in a pattern", card: "configs:\n- config_name: a\n  data_files: 'x[!0-4].c?v'\n", files: "x3.csv x7.csv x7.json", want: "x7.csv"},
		{name: "no such file", card: "configs:\n- config_name: a\n  data_files: z.csv\n", files: "a.csv", want: "! no file matches z.csv"},
		{name: "elsewhere", card: "configs:\n- config_name: a\n  data_files: https://example.com/z.csv\n", files: "a.csv", want: "! https://example.com/z.csv"},
		{name: "its own address", differs: true, card: "configs:\n- config_name: a\n  data_files: hf://datasets/me/rows@main/a.csv\n", files: "a.csv", want: "a.csv"},
		{name: "a config without a name", card: "configs:\n- data_files: a.csv\n", files: "a.csv", want: "! config_name"},
		{name: "two of a name", differs: true, card: "configs:\n- config_name: a\n- config_name: a\n", files: "a.csv", want: "! twice"},
		{name: "no YAML", card: "configs: [\n", files: "a.csv", want: "! give the address of one of its files"},
		{name: "the name of the only subset", card: "dataset_info:\n  config_name: plain_text\n  features: []\n", files: "a.csv", source: hub.Source{Subset: "plain_text"}, want: "a.csv"},
		{name: "no subsets", files: "a.csv", source: hub.Source{Subset: "main"}, want: "! leave out --subset"},
		{name: "a folder for a subset", files: "main/a.csv", source: hub.Source{Subset: "main"}, want: "! give hf://datasets/me/rows/main"},
	}
}

func (c splitCase) repo() hubtest.Repo {
	files := map[string]string{}
	for _, f := range strings.Fields(strings.ReplaceAll(c.files, "my train 2", "my_train_2")) {
		f = strings.ReplaceAll(f, "my_train_2", "my train 2")
		files[f] = f
	}
	if c.card != "" {
		files["README.md"] = "---\r\n" + c.card + "\n---\r\n# Rows"
	}
	return hubtest.Repo{Files: files}
}

func TestSplitsAreFoundAsTheDatasetsLibraryFindsThem(t *testing.T) {
	for _, c := range splitCases() {
		t.Run(c.name, func(t *testing.T) {
			s := hubtest.Start(t)
			s.Add("me/rows", c.repo())
			c.source.Input = "hf://datasets/me/rows"
			if say, isError := strings.CutPrefix(c.want, "! "); isError {
				failing(t, configOf(t, s), c.source, say)
				return
			}
			got := mustFetch(t, configOf(t, s), c.source)
			if diff := cmp.Diff(c.want, strings.Join(texts(t, got.Files), " ")); diff != "" {
				t.Error(diff)
			}
			if c.leftOut != "" && !slices.Contains(got.LeftOut, c.leftOut) {
				t.Errorf("%s was left out, which does not say so: %v", c.leftOut, got.LeftOut)
			}
		})
	}
}

func TestTheBranchWithTheHubsOwnParquetFilesHasSubsetsAndSplits(t *testing.T) {
	s := hubtest.Start(t)
	s.Add("me/rows", hubtest.Repo{Files: map[string]string{"rows.py": "import os"}})
	s.Change("me/rows", "refs/convert/parquet", map[string]string{"main/train/0000.parquet": "main train", "main/partial-test/0000.parquet": "main test", "other/train/0000.parquet": "other"})
	cfg := configOf(t, s)
	input := "hf://datasets/me/rows@refs/convert/parquet"
	failing(t, cfg, hub.Source{Input: input}, "main, other")
	got := mustFetch(t, cfg, hub.Source{Input: input, Subset: "main", Split: "test"})
	if diff := cmp.Diff([]string{"main test"}, texts(t, got.Files)); diff != "" {
		t.Error(diff)
	}
}
