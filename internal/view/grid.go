package view

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"gleaner/internal/text"
)

// A grid lines up the cells of a table. This is the one place where the cells of all tables are
// escaped: they may come from a dataset, from a model, or from another person's machine.
type grid struct{ w *tabwriter.Writer }

func newGrid(to io.Writer) grid { return grid{tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)} }

// oneCell keeps a cell from becoming several, or several lines.
var oneCell = strings.NewReplacer("\t", " ", "\n", " ")

// line adds a line whose cells are separated by blanks.
func (g grid) line(cells ...string) {
	for i, cell := range cells {
		cells[i] = text.Printable(oneCell.Replace(cell))
	}
	fmt.Fprintln(g.w, strings.Join(cells, "\t"))
}

// row adds a line of a name and a value.
func (g grid) row(name, format string, args ...any) { g.line(name, fmt.Sprintf(format, args...)) }

// flush writes all lines since the last call.
func (g grid) flush() error { return g.w.Flush() }
