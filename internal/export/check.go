package export

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check returns an error for settings that no export can follow, before anything is generated: an
// unknown suffix or layout, flags that exclude each other, and an output that cannot be written or
// may not be overwritten.
func Check(c Config) error {
	if err := CheckFlags(c); err != nil {
		return err
	}
	c = c.withDefaults()
	kind, err := formatOf(c.Out)
	if err != nil {
		return err
	}
	if err := c.checkFormat(kind); err != nil {
		return err
	}
	return c.checkTarget(kind)
}

// CheckFlags is Check without the output: what is wrong with the settings themselves.
func CheckFlags(c Config) error {
	c = c.withDefaults()
	for _, f := range []struct {
		flag, value string
		values      []string
	}{
		{"--layout", c.Layout, Layouts()},
		{"--provenance", c.Provenance, []string{ProvenanceNested, ProvenanceFlat, ProvenanceNone}},
		{"--reasoning", c.Reasoning, []string{ReasoningColumn, ReasoningInline}},
	} {
		if !slices.Contains(f.values, f.value) {
			return fmt.Errorf("%s %q: there are %s", f.flag, f.value, strings.Join(f.values, ", "))
		}
	}
	if _, err := splitList("--columns", c.Columns); err != nil {
		return err
	}
	replaced, err := splitList("--replace", c.Replace)
	if err != nil {
		return err
	}
	answer := answerColumn(c.Layout)
	switch {
	case c.ResponseField != "" && !hasResponseField(c.Layout):
		return fmt.Errorf("--response-field names the answer's column, and layout %s has none: leave it out", c.Layout)
	case c.Replace != "" && c.Layout == LayoutOpenAIBatch:
		return errors.New("--replace: the names of layout openai-batch are fixed: leave it out")
	case c.Expand && c.Layout == LayoutOpenAIBatch:
		return errors.New("--expand: the columns of layout openai-batch are fixed: leave it out")
	case c.ResponseField != "" && slices.ContainsFunc(replaced, func(name string) bool { return replaces(c, name) == answer }):
		return errors.New("--response-field and --replace exclude each other: --replace COLUMN already says where the answer goes")
	}
	return nil
}

func (c Config) checkFormat(f format) error {
	switch {
	case c.CSVSafe && f.kind != formatCSV:
		return fmt.Errorf("--csv-safe guards .csv and .tsv files, and %s is none: leave it out", c.Out)
	case c.Layout == LayoutOpenAIBatch && f.kind != formatLines:
		return fmt.Errorf("layout openai-batch is a file of JSON Lines: write to a name that ends in .jsonl, not to %s", c.Out)
	}
	return nil
}
