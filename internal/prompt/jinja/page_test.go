package jinja

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page returns the page about templates.
func page(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../../docs/jinja.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheExamplesOfThePageMakeWhatItSays(t *testing.T) {
	text, _, _ := strings.Cut(page(t), "\n## What differs")
	row := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindStringSubmatch(text)[1]
	examples := regexp.MustCompile("(?m)^\\| `(.*)` \\| `(.*)` \\|$").FindAllStringSubmatch(text, -1)
	examples = append(examples, regexp.MustCompile("(?s)```text\n([^`]*)\n```\n\nmakes\n\n```text\n([^`]*)\n```").FindAllStringSubmatch(text, -1)...)
	if len(examples) < 15 {
		t.Fatalf("%d examples were found", len(examples))
	}
	for _, example := range examples {
		template := strings.ReplaceAll(example[1], `\|`, "|")
		if got, err := mustCompile(t, template).Render([]byte(row)); err != nil || got != example[2] {
			t.Errorf("%s makes %q, %v; the page says %q", template, got, err, example[2])
		}
	}
}

func TestThePageListsWhatThereIs(t *testing.T) {
	tables := newTables()
	for start, table := range map[string]map[string]handler{
		"- Filters: ": tables.filters, "- Tests: ": tables.tests, "- Methods of texts: ": tables.textMethods,
		"; of lists: ": tables.listMethods, "; of objects: ": tables.dictMethods,
	} {
		_, rest, _ := strings.Cut(strings.ReplaceAll(page(t), "\n", " "), start)
		end := strings.IndexAny(rest, ".;")
		var listed []string
		for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(rest[:end], -1) {
			listed = append(listed, match[1])
		}
		if names := sortedNames(table); !slices.Equal(listed, names) {
			t.Errorf("after %q the page lists\n%s\nand there are\n`%s`", start, strings.Join(listed, " "), strings.Join(names, "`, `"))
		}
	}
}
