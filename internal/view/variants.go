package view

import (
	"fmt"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/text"
)

// Variants says which runs a command line stands for, if it is more than one, before any of them is
// written.
func Variants(t *cli.Terminal, variants []cli.Variant) {
	if len(variants) < 2 {
		return
	}
	fmt.Fprintf(t.Err, "%d runs, one after the other:\n", len(variants))
	for _, v := range variants {
		var words []string
		if v.Name != "" {
			words = append(words, "run "+v.Name)
		}
		if model := strings.Join(v.Model, ""); model != "" {
			words = append(words, "model "+text.OneLine(model))
		}
		if file := strings.Join(v.PromptFile, ""); file != "" {
			words = append(words, "prompt file "+text.OneLine(file))
		}
		fmt.Fprintf(t.Err, "  %s\n", strings.Join(words, ", "))
	}
}

// Table returns rows of cells below a head, lined up as the grid says.
func Table(g cli.Grid, head []string, rows [][]string) string {
	g.Head(head...)
	for _, row := range rows {
		g.Line(row...)
	}
	return g.Take()
}
