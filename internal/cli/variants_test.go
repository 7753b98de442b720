package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestSeveralModelsAndPromptFilesMakeARunEach(t *testing.T) {
	for _, c := range []struct {
		name          string
		models, files []string
		want          []string // name, model and prompt file of each
	}{
		{"gsm", nil, nil, []string{"gsm||"}},
		{"gsm", []string{"m"}, []string{"p.txt"}, []string{"gsm|m|p.txt"}},
		{"gsm", []string{"llama3.1:8b", "hf.co/me/Qwen-GGUF:Q4_K"}, nil, []string{"gsm-llama3-1-8b|llama3.1:8b|", "gsm-qwen-gguf-q4-k|hf.co/me/Qwen-GGUF:Q4_K|"}},
		{"gsm", []string{"m"}, []string{"a/Plain.txt", "cot.v2.j2"}, []string{"gsm-plain|m|a/Plain.txt", "gsm-cot-v2|m|cot.v2.j2"}},
		{"", []string{"a", "b"}, []string{"c", "d"}, []string{"|a|c", "|a|d", "|b|c", "|b|d"}},
	} {
		variants, err := SpecFlags{Model: c.models, PromptFile: c.files}.Variants(c.name)
		var got []string
		for _, v := range variants {
			got = append(got, v.Name+"|"+strings.Join(v.Model, ",")+"|"+strings.Join(v.PromptFile, ","))
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%v with %v: %v (-want +got):\n%s", c.models, c.files, err, diff)
		}
	}
}

func TestRunsThatCannotBeToldApartAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		models []string
		says   string
	}{
		{"gsm", []string{"a/x", "b/x"}, `run: the names of the runs do not differ in a-z and 0-9: that of model "b/x"`},
		{"", []string{"m", "m"}, "do not differ"},
		{"gsm", []string{"日本", "m"}, "do not differ"},
		{strings.Repeat("a", 60), []string{"long", "longer"}, "1 to 63"},
		{"Gsm", []string{"a", "b"}, "1 to 63"},
	} {
		var wrong *pipeline.SpecError
		if _, err := (SpecFlags{Model: c.models}).Variants(c.name); !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %v: %v", c.name, c.models, err)
		}
	}
}

func TestFilesOfSeveralRunsHaveTheSameEndings(t *testing.T) {
	v := Variant{Suffix: "m"}
	for file, want := range map[string]string{
		"": "", "-": "-", "a.jsonl": "a-m.jsonl", "x.y/a.jsonl.gz": "x.y/a-m.jsonl.gz", "a.v2.csv.zst": "a.v2-m.csv.zst", "a": "a-m", "out/": "out-m/", "/t/.hidden": "/t/.hidden-m", ".gz": ".gz-m",
		"hf://datasets/me/rows": "hf://datasets/me/rows-m", "hf://datasets/me/rows@v1.2": "hf://datasets/me/rows-m@v1.2",
	} {
		if got := v.Of(file); got != want {
			t.Errorf("%q becomes %q, want %q", file, got, want)
		}
		if got := (Variant{}).Of(file); got != file {
			t.Errorf("%q of the only run becomes %q", file, got)
		}
	}
}
