package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
)

// InputFlags say which rows a run is made of.
type InputFlags struct {
	Input      []string `path:"file" sep:"none" placeholder:"FILE" help:"Dataset: files, folders, patterns in quotes, - for standard input, https://… or hf://datasets/OWNER/NAME[@REV][/PATH]. JSON Lines, JSON, CSV, TSV or Parquet, also .gz and .zst: what is in a file decides. May be repeated."`
	Files      []string `arg:"" optional:"" name:"input-file" help:"Further files of the dataset, in place of --input."`
	Subset     string   `placeholder:"NAME" help:"Of a dataset on the hub: its subset (configuration), such as main."`
	InputSplit string   `placeholder:"NAME" help:"Of a dataset on the hub: its split, such as train."`
	Encoding   string   `placeholder:"NAME" help:"Encoding of text files without a mark of their own, such as cp1252 or utf-16. Default: UTF-8."`
	RowsAt     string   `placeholder:"NAMES" help:"Where the rows stand in a JSON file, such as data.train."`
	NaN        string   `name:"nan" placeholder:"null" help:"Read NaN and Infinity in JSON as null. Default: such rows are bad ones."`
	Limit      int      `placeholder:"N" help:"Take N rows only: the first ones, or with --random drawn ones."`
	Random     *int64   `placeholder:"SEED" help:"Draw the rows of --limit; the same seed draws the same rows."`
	InputWhere string   `placeholder:"EXPR" help:"Take only rows for which this holds, such as 'level > 3 and lang == \"en\"'."`
	Explode    string   `placeholder:"COLUMN" help:"Make a row of each element of the lists in this column."`
	Rows       int      `placeholder:"N" help:"Without a dataset: N rows that have only their number, {{ i }}."`
	ID         string   `name:"id" placeholder:"COLUMN" help:"The column with the id by which you know a row, or a path to it, such as meta.id: a text or a number, another one in each row. Rows are shown and found by it."`
	SkipBad    bool     `help:"Leave rows out that cannot be used, and list them in RUN.bad.jsonl. Default: they are named, and nothing is loaded."`
	Empty      string   `enum:"refuse,send" default:"refuse" help:"What becomes of rows whose prompt is empty: they count as bad ones, or are sent."`
	SamePrompt bool     `help:"Allow that all rows get the same prompt."`
}

// Inputs returns the files of the dataset, as they were given.
func (f InputFlags) Inputs() []string { return slices.Concat(f.Input, f.Files) }

// HasInput reports whether there are rows to read or to make.
func (f InputFlags) HasInput() bool { return len(f.Inputs()) > 0 || f.Rows > 0 }

// Check returns a *pipeline.SpecError for the first flag that makes no sense.
func (f InputFlags) Check() error {
	switch {
	case f.Limit < 0:
		return &pipeline.SpecError{Field: "limit", Problem: fmt.Sprintf("%d is negative", f.Limit)}
	case f.Random != nil && f.Limit == 0:
		return &pipeline.SpecError{Field: "random", Problem: "it draws the rows of --limit: say how many with that"}
	case f.Rows < 0:
		return &pipeline.SpecError{Field: "rows", Problem: fmt.Sprintf("%d is negative", f.Rows)}
	}
	return nil
}

// readVars reads the variables of templates: a text, or with @ the JSON of a file.
func readVars(ctx context.Context, flags map[string]string) (map[string]json.RawMessage, error) {
	vars := map[string]json.RawMessage{}
	for name, value := range flags {
		path, isFile := strings.CutPrefix(value, "@")
		if !isFile {
			text, err := pipeline.Encode(value)
			if err != nil {
				return nil, err
			}
			vars[name] = text
			continue
		}
		text, err := readFile(ctx, path, "variable")
		if err != nil {
			return nil, fmt.Errorf("reading the variable %s: %w", name, err)
		}
		if !json.Valid([]byte(text)) {
			return nil, &pipeline.SpecError{Field: "var", Problem: fmt.Sprintf("%s: the file %s is not JSON: write a text in quotes, a list or an object", name, path)}
		}
		vars[name] = json.RawMessage(strings.TrimSpace(text))
	}
	if len(vars) == 0 {
		return nil, nil
	}
	return vars, nil
}

// readSystem returns the system prompt, from its flag or its file.
func (f SpecFlags) readSystem(ctx context.Context) (string, error) {
	if f.SystemFile == "" {
		return f.System, nil
	}
	if f.System != "" {
		return "", &pipeline.SpecError{Field: "system-file", Problem: "cannot be combined with system"}
	}
	if info, err := os.Stat(f.SystemFile); err == nil && info.IsDir() {
		return "", &pipeline.SpecError{Field: "system-file", Problem: f.SystemFile + " is a folder"}
	}
	text, err := readFile(ctx, f.SystemFile, "template")
	if err != nil {
		return "", fmt.Errorf("reading the system prompt: %w", err)
	}
	return text, nil
}
