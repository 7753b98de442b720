package view

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A grid lines up the cells of a table. What a cell says may come from anywhere, so it cannot
// become several cells, or several lines.
type grid struct{ w *tabwriter.Writer }

func newGrid(to io.Writer) grid { return grid{tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)} }

var oneCell = strings.NewReplacer("\t", " ", "\n", " ", "\v", " ", "\f", " ")

// line adds a line whose cells are separated by blanks.
func (g grid) line(cells ...string) {
	for i, cell := range cells {
		cells[i] = oneCell.Replace(cell)
	}
	fmt.Fprintln(g.w, strings.Join(cells, "\t"))
}

// row adds a line of a name and a value.
func (g grid) row(name, format string, args ...any) { g.line(name, fmt.Sprintf(format, args...)) }

// flush writes all lines since the last call.
func (g grid) flush() error { return g.w.Flush() }
