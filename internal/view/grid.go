package view

import (
	"fmt"
	"io"

	"gleaner/internal/cli"
)

// A grid is a table that is written to somewhere.
type grid struct {
	*cli.Grid
	to io.Writer
}

// newGrid returns a table whose lines have at most this many columns where they can; 0 for any
// number.
func newGrid(to io.Writer, columns int) grid { return grid{&cli.Grid{Columns: columns}, to} }

// line adds a line of cells.
func (g grid) line(cells ...string) { g.Line(cells...) }

// row adds a line of a name and a value.
func (g grid) row(name, format string, args ...any) { g.Line(name, fmt.Sprintf(format, args...)) }

// command adds a line of a name and a value with a command in it, which stays whole.
func (g grid) command(name, value string) { g.Whole(name, value) }

// flush writes all lines since the last call.
func (g grid) flush() error {
	_, err := io.WriteString(g.to, g.Take())
	return err
}
