package export

import (
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/dataset/parquet"
	"gleaner/internal/pipeline"
)

// A card is the README.md of a folder of shards: the head that the Hugging Face hub and the library
// datasets read, and what a person wants to know of the dataset.
type card struct {
	run      pipeline.Run
	config   Config
	names    Names
	tally    Tally
	engines  map[string]int    // answers by engine and digest
	features []parquet.Feature // the columns
}

// text returns the page.
func (c card) text() []byte {
	var b strings.Builder
	c.head(&b)
	spec := c.run.Spec
	fmt.Fprintf(&b, "\n# %s\n\n", c.run.Name)
	if spec.Simulated {
		b.WriteString("**These answers are simulated: they are made up and mean nothing.**\n\n")
	}
	fmt.Fprintf(&b, "Answers of %s to the rows of %s, generated with Gleaner%s.\n\n", code(spec.Model), code(spec.Dataset.Name), space(c.config.Version))
	b.WriteString("| | |\n| --- | --- |\n")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", name, value)
		}
	}
	line("model", code(spec.Model))
	for _, engine := range sortedKeys(c.engines) {
		line("engine and digest of the model", fmt.Sprintf("%s (%d answers)", code(engine), c.engines[engine]))
	}
	options, err := encode(spec.Options)
	if err == nil {
		line("options", code(string(options)))
	}
	line("seed", fmt.Sprint(spec.Seed))
	line("samples of a row", fmt.Sprint(spec.Samples))
	line("source", code(spec.Dataset.Name))
	line("SHA-256 of the source's rows", code(spec.Dataset.Digest))
	line("rows of the source", fmt.Sprint(c.run.Items))
	line("layout", code(c.config.Layout))
	line("rows here", fmt.Sprint(c.tally.Lines))
	c.request(&b)
	c.left(&b)
	b.WriteString("\n## Columns\n\n")
	for _, f := range c.features {
		fmt.Fprintf(&b, "- %s, %s%s\n", code(f.Name), f.Type, c.meaning(f.Name))
	}
	if len(c.notes()) > 0 {
		b.WriteString("\n## Notes\n\n")
		for _, note := range c.notes() {
			fmt.Fprintf(&b, "- %s\n", escapeMarkdown(note))
		}
	}
	return []byte(b.String())
}

// notes are what a reader should know of the rows and the columns.
func (c card) notes() []string {
	notes := slices.Concat(c.names.Notes, c.tally.Notes)
	if n := c.run.Spec.Dataset.Nulled; n > 0 {
		notes = append(notes, fmt.Sprintf("numbers of the source that were NaN or Infinity are null here: %d", n))
	}
	return notes
}

// head writes the YAML that the hub reads. It holds no text of the user's but in JSON's quotes,
// which are YAML's, too.
func (c card) head(b *strings.Builder) {
	var features strings.Builder
	appendFeatures(&features, c.features, "  ")
	fmt.Fprintf(b, `---
pretty_name: %s
configs:
- config_name: default
  data_files:
  - split: train
    path: %s
dataset_info:
  features:
%ssize_categories:
- %s
task_categories:
- text-generation
tags:
- synthetic
- gleaner
---
`, appendText(nil, c.run.Name), shardGlob, features.String(), sizeCategory(c.tally.Lines))
}

// sizeCategory returns the hub's word for a number of rows.
func sizeCategory(rows int) string {
	names := []string{"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B", "100B<n<1T"}
	limit := 1000
	for _, name := range names {
		if rows < limit {
			return name
		}
		limit *= 10
	}
	return "n>1T"
}

// request writes what the model was asked.
func (c card) request(b *strings.Builder) {
	spec := c.run.Spec
	if spec.System != "" {
		b.WriteString("\n## System prompt\n\n" + fenced(spec.System))
	}
	switch {
	case spec.Prompt != "":
		b.WriteString("\n## Prompt\n\nA template over the columns of the source:\n\n" + fenced(spec.Prompt))
	case spec.Field != "":
		fmt.Fprintf(b, "\n## Prompt\n\nThe column %s.\n", code(spec.Field))
	}
}

// left writes what is not there, and why.
func (c card) left(b *strings.Builder) {
	b.WriteString("\n## What was left out\n\n")
	t := c.tally
	nothing := "Nothing: each generation has its answer.\n"
	if t.Skipped > 0 {
		fmt.Fprintf(b, "Of the source %d more rows could not be used, and were left out when it was loaded.\n\n", t.Skipped)
		nothing = "Each generation has its answer.\n"
	}
	if t.Missing == 0 {
		b.WriteString(nothing)
		return
	}
	fmt.Fprintf(b, "Of %d generations %d have no answer: they failed, or were not generated when this was written.\n", t.Lines+t.LeftOut, t.Missing)
	if t.LeftOut > 0 {
		fmt.Fprintf(b, "%d of them were left out.\n", t.LeftOut)
	}
	if t.Failed > 0 {
		fmt.Fprintf(b, "%d of them are here without an answer, and with why.\n", t.Failed)
	}
	for _, class := range sortedKeys(t.Classes) {
		fmt.Fprintf(b, "- %s: %d\n", code(class), t.Classes[class])
	}
}

// meaning says what one of Gleaner's columns is.
func (c card) meaning(column string) string {
	for _, usual := range c.config.layoutColumns() {
		if c.names.of(usual) == column {
			return map[string]string{
				columnResponse: ": the answer", columnOutput: ": the answer", columnCompletion: ": the answer", columnReasoning: ": the thinking before the answer",
				columnMessages: ": the chat, the answer at its end", columnConversations: ": the chat, the answer at its end",
				columnPrompt: ": what was sent", columnInstruction: ": what was asked",
			}[usual]
		}
	}
	for _, name := range c.config.fields {
		if c.names.of(expandPrefix+name) == column {
			return ": a field of the answer"
		}
	}
	if prefix := c.names.of(columnProvenance); column == prefix || c.config.Provenance == ProvenanceFlat && strings.HasPrefix(column, prefix+"_") {
		return ": where the answer comes from"
	}
	return ""
}

// code returns a text as code in one line of Markdown, which may stand in a table.
func code(text string) string {
	if text == "" {
		return ""
	}
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "|", `\|`)), " ")
	ticks := "`"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	if len(ticks) > 1 {
		return ticks + " " + text + " " + ticks
	}
	return ticks + text + ticks
}

// escapeMarkdown returns a text in which nothing is markup.
func escapeMarkdown(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`", "\n", " ").Replace(text)
}

func space(text string) string {
	if text == "" {
		return ""
	}
	return " " + text
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
