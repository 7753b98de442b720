package cli

import (
	"slices"
	"strings"

	"gleaner/internal/text"
)

// A Grid lines up the cells of a table in as many columns as there are. What a cell says may come
// from anywhere, so it can neither become several cells nor several lines.
//
// Where lines are too wide, first cells are clipped, then columns move to lines of their own below
// the others. The last cell of a line wraps at words, or moves below, too, where no room is left.
type Grid struct {
	Columns int   // of the terminal; 0: as many as there are cells for
	Right   []int // columns of the table whose cells stand on the right, such as numbers
	Clip    []int // those that may be clipped, the first one first
	Below   []int // those that may move below, the first one first

	head []string
	rows []gridRow
}

// A gridRow is a line of cells, or a text across all of them.
type gridRow struct {
	cells []string
	text  string
	head  bool
	whole bool // the last cell does not wrap
}

const (
	gap       = 2  // columns between two cells
	leastClip = 12 // columns of a cell that still says something
	leastWrap = 24 // columns of lines that wrap
	indented  = 4  // columns before what is below
)

// Head adds the line that names the columns.
func (g *Grid) Head(cells ...string) {
	g.head = cells
	g.Line(cells...)
	g.rows[len(g.rows)-1].head = true
}

// Line adds a line. One with a single cell has no part in how wide the columns are.
func (g *Grid) Line(cells ...string) {
	whole := make([]string, len(cells))
	for i, cell := range cells {
		whole[i] = strings.TrimRight(strings.NewReplacer("\t", " ", "\n", " ", "\v", " ", "\f", " ", "\r", " ").Replace(cell), " ")
	}
	g.rows = append(g.rows, gridRow{cells: whole})
}

// Whole adds a line whose last cell does not wrap, so that a command in it can be pasted.
func (g *Grid) Whole(cells ...string) {
	g.Line(cells...)
	g.rows[len(g.rows)-1].whole = true
}

// Across adds a text that goes across the columns, and wraps at words.
func (g *Grid) Across(s string) { g.rows = append(g.rows, gridRow{text: text.OneLine(s)}) }

// Take returns the lines that were added since the last call.
func (g *Grid) Take() string {
	var b strings.Builder
	widths, moved := g.fit()
	for _, row := range g.rows {
		if row.cells == nil {
			g.across(&b, row.text)
			continue
		}
		g.line(&b, row, widths, moved)
	}
	g.rows, g.head = nil, nil
	return b.String()
}

// fit returns how wide each column is, and which of them are below.
func (g *Grid) fit() (widths []int, moved []int) {
	for _, row := range g.rows {
		for i, cell := range row.cells {
			if i >= len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row.cells)-1 || g.isRight(i) {
				widths[i] = max(widths[i], text.Width(cell))
			}
		}
	}
	if g.Columns <= 0 {
		return widths, nil
	}
	for _, i := range g.Clip {
		if more := g.over(widths, nil); more > 0 && i < len(widths) {
			widths[i] = min(widths[i], max(widths[i]-more, leastClip))
		}
	}
	for _, i := range g.Below {
		if g.over(widths, moved) > 0 {
			moved = append(moved, i)
		}
	}
	return widths, moved
}

// over returns by how much the widest line is too wide. What wraps needs some room.
func (g *Grid) over(widths, moved []int) int {
	most := 0
	for _, row := range g.rows {
		end := len(row.cells) - 1
		if end < 1 {
			continue
		}
		width := min(text.Width(row.cells[end]), leastWrap)
		if g.isRight(end) {
			width = widths[end]
		}
		for i := range end {
			if !slices.Contains(moved, i) {
				width += widths[i] + gap
			}
		}
		most = max(most, width)
	}
	return most - g.Columns
}

func (g *Grid) isRight(column int) bool { return slices.Contains(g.Right, column) }

// line writes a line of cells, and below it what has no room there.
func (g *Grid) line(b *strings.Builder, row gridRow, widths, moved []int) {
	var line strings.Builder
	var below []string
	used, end := 0, len(row.cells)-1
	for i, cell := range row.cells[:end] {
		if slices.Contains(moved, i) {
			if i < len(g.head) && cell != "" {
				below = append(below, strings.ToLower(g.head[i])+" "+cell)
			}
			continue
		}
		cell = text.Clip(cell, max(widths[i], 1))
		pad := strings.Repeat(" ", max(widths[i]-text.Width(cell), 0))
		if g.isRight(i) {
			cell, pad = pad+cell, ""
		}
		line.WriteString(cell + pad + strings.Repeat(" ", gap))
		used += widths[i] + gap
	}
	lastCell := row.cells[end]
	if g.isRight(end) {
		lastCell = strings.Repeat(" ", max(widths[end]-text.Width(lastCell), 0)) + lastCell
	}
	switch room := g.Columns - used; {
	case g.Columns <= 0 || row.whole || text.Width(lastCell) <= room:
		writeLine(b, line.String()+lastCell)
	case end > 0 && room < leastWrap:
		writeLine(b, line.String())
		below = append(below, lastCell)
	default:
		for i, part := range text.Fold(lastCell, room) {
			if i == 0 {
				writeLine(b, line.String()+part)
				continue
			}
			writeLine(b, strings.Repeat(" ", used)+part)
		}
	}
	if len(below) > 0 && !row.head {
		for _, part := range text.Fold(strings.Join(below, ", "), max(g.Columns-indented, leastWrap)) {
			writeLine(b, strings.Repeat(" ", indented)+part)
		}
	}
}

// across writes a text over the whole width.
func (g *Grid) across(b *strings.Builder, s string) {
	lines := []string{s}
	if g.Columns > 0 {
		lines = text.Fold(s, max(g.Columns, leastWrap))
		if len(lines) > 1 { // what wraps is indented from the second line on
			lines = append(lines[:1], text.Fold(strings.Join(lines[1:], " "), max(g.Columns-indented, leastWrap))...)
		}
	}
	for i, line := range lines {
		if i > 0 {
			line = strings.Repeat(" ", indented) + line
		}
		writeLine(b, line)
	}
}

func writeLine(b *strings.Builder, line string) {
	b.WriteString(strings.TrimRight(line, " "))
	b.WriteString("\n")
}
