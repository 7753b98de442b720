package hub

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// kindOf returns the kind of rows that a file has by its name, or nothing: "parquet", "json" or
// "csv", in this order of preference.
func kindOf(file string) string {
	suffixes := strings.Split(strings.ToLower(path.Base(file)), ".")
	for _, kind := range kinds() {
		for _, suffix := range suffixes[1:] {
			if slices.Contains(kind[1:], suffix) {
				return kind[0]
			}
		}
	}
	return ""
}

// kinds returns for each kind its name and its suffixes.
func kinds() [][]string {
	return [][]string{
		{"parquet", "parquet", "geoparquet", "gpq"},
		{"json", "jsonl", "json", "ndjson"},
		{"csv", "csv", "tsv"},
	}
}

// mostCommonKind returns the files of the kind that most of them have: a dataset often has its rows
// in two kinds of files, and they are the same rows.
func mostCommonKind(files []entry) (rows []entry, leftOut []string) {
	counts := map[string]int{}
	for _, f := range files {
		counts[kindOf(f.Path)]++
	}
	best := ""
	for _, kind := range kinds() {
		if n := counts[kind[0]]; n > 0 && (best == "" || n > counts[best]) {
			best = kind[0]
		}
	}
	for _, f := range files {
		if best != "" && kindOf(f.Path) == best {
			rows = append(rows, f)
		} else {
			leftOut = append(leftOut, f.Path)
		}
	}
	return rows, leftOut
}

const rowsAreIn = "rows are read from .parquet, .jsonl, .json, .csv and .tsv, also .gz and .zst"

// noRows says why a dataset without splits has none.
func (c chooser) noRows(folder string) string {
	var all []string
	for _, e := range c.listing.Entries {
		if folder == "" || strings.HasPrefix(e.Path, strings.Trim(folder, "/")+"/") {
			all = append(all, e.Path)
		}
	}
	_, name, _ := strings.Cut(c.target.repo, "/")
	if slices.Contains(all, name+".py") {
		return fmt.Sprintf("its rows are made by the script %s.py; the hub's own copy of them is %s@%sparquet", name, datasetScheme+c.target.repo, convertRefs)
	}
	return noRowsIn(all)
}

// noRowsIn says what there is in place of rows.
func noRowsIn(files []string) string {
	var suffixes []string
	for _, f := range files {
		if s := strings.ToLower(path.Ext(f)); s != "" && hiddenParts(f) == 0 && !isAboutTheDataset(path.Base(f)) && !slices.Contains(suffixes, s) {
			suffixes = append(suffixes, s)
		}
	}
	if len(suffixes) == 0 {
		return "it has no files with rows: " + rowsAreIn
	}
	return fmt.Sprintf("it has files of the kinds %s, and %s", names(sorted(suffixes)), rowsAreIn)
}

// keywords returns the splits that a name of a file or a folder may mean, with their words.
func keywords() [][]string {
	return [][]string{
		{"train", "train", "training"},
		{"validation", "validation", "valid", "dev", "val"},
		{"test", "test", "testing", "eval", "evaluation"},
	}
}

// folderPatterns and filePatterns are the globs for splits that folders and files name.
func folderPatterns() []splitPattern {
	return patternsOf("**/{word}/**", "**/{word}[-._ 0-9]*/**", "**/*[-._ 0-9]{word}/**", "**/*[-._ 0-9]{word}[-._ 0-9]*/**")
}

func filePatterns() []splitPattern {
	return patternsOf("**/{word}[-._ 0-9]*", "**/*[-._ 0-9]{word}[-._ 0-9]*")
}

func patternsOf(forms ...string) (all []splitPattern) {
	for _, words := range keywords() {
		s := splitPattern{split: words[0]}
		for _, word := range words[1:] {
			for _, form := range forms {
				s.patterns = append(s.patterns, strings.ReplaceAll(form, "{word}", word))
			}
		}
		all = append(all, s)
	}
	return all
}
