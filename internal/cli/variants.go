package cli

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
)

// A Variant is one of the runs of a command line that names several models or prompt files.
type Variant struct {
	SpecFlags
	Name   string // of the run; empty where the command line gives none
	Suffix string // what tells it from the others, as a part of a name; empty if it is the only one
}

// Variants returns a run for each model with each prompt file, those of the first model first.
// Their names are that of the command line, a dash, and what is special to each. What makes no
// names that differ, or none that a run may have, is a *pipeline.SpecError.
func (f SpecFlags) Variants(name string) ([]Variant, error) {
	models, files := orNone(f.Model), orNone(f.PromptFile)
	if len(models)*len(files) == 1 {
		return []Variant{{SpecFlags: f, Name: name}}, nil
	}
	var all []Variant
	suffixes := map[string]bool{}
	for _, model := range models {
		for _, file := range files {
			v := Variant{SpecFlags: f}
			v.Model, v.PromptFile = []string{model}, []string{file}
			var words []string
			if len(models) > 1 {
				words = append(words, inName(path.Base(model)))
			}
			if len(files) > 1 {
				base := filepath.Base(file)
				words = append(words, inName(strings.TrimSuffix(base, filepath.Ext(base))))
			}
			if v.Suffix = strings.Join(words, "-"); suffixes[v.Suffix] || slices.Contains(words, "") {
				return nil, &pipeline.SpecError{Field: "run", Problem: fmt.Sprintf("the names of the runs do not differ in a-z and 0-9: that of model %q with prompt file %q ends in %q", model, file, v.Suffix)}
			}
			suffixes[v.Suffix] = true
			if name != "" {
				v.Name = name + "-" + v.Suffix
				if err := pipeline.ValidateRunName(v.Name); err != nil {
					return nil, err
				}
			}
			all = append(all, v)
		}
	}
	return all, nil
}

// orNone returns the values, or an empty one if there are none.
func orNone(values []string) []string {
	if len(values) == 0 {
		return []string{""}
	}
	return values
}

// Of returns the name of a file that belongs to the variant alone: the suffix stands before the
// ending, as in answers-MODEL.jsonl.gz.
func (v Variant) Of(file string) string {
	if v.Suffix == "" || file == "" || file == "-" {
		return file
	}
	if repo, branch, ok := strings.Cut(file, "@"); ok && strings.HasPrefix(file, "hf://") {
		return v.Of(repo) + "@" + branch
	}
	folder, base := filepath.Split(file)
	if base == "" { // a folder
		return strings.TrimRight(folder, "/") + "-" + v.Suffix + "/"
	}
	end := base
	for _, packed := range []string{".gz", ".zst"} {
		if len(end) > len(packed) {
			end = strings.TrimSuffix(end, packed)
		}
	}
	stem := end[:1] + strings.TrimSuffix(end[1:], filepath.Ext(end[1:])) // a dot at the beginning begins no ending
	return folder + stem + "-" + v.Suffix + strings.TrimPrefix(base, stem)
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// inName returns a word as a part of a run's name.
func inName(word string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(word), "-"), "-")
}
