package export

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// A tableWriter writes rows as CSV (RFC 4180) or, with tabs, as TSV. The columns are all that any
// row has, so they are known at the end only, and the rows wait in a spool.
type tableWriter struct {
	to      io.Writer
	comma   byte
	safe    bool
	answer  string // the column of a table without rows
	spool   *spool
	columns Columns
	guesses []guess // of each column
	rows    int
	seen    []field
	cells   [][]byte
	line    []byte
	text    []byte
}

// A guess is what a reader that sees the first rows of a column takes it for. One that begins with
// many integers must not look as if there were no other numbers.
type guess struct {
	integers, decimals bool
	late               bool // the first decimal comes after many integers
	alike              int  // cells that look like numbers, in front of the first that does not
	texts              bool // there is one that does not
}

// observe takes a value of the column.
func (g *guess) observe(value []byte, row int) {
	switch c := value[0]; {
	case c == 'n':
	case c == '-' || c >= '0' && c <= '9':
		if !isDecimal(value) {
			g.integers = true
		} else if !g.decimals {
			g.decimals, g.late = true, g.integers && row >= guessedRows
		}
		if !g.texts {
			g.alike++
		}
	case g.texts:
	case c == '"' && isNumber(value[1:len(value)-1]):
		g.alike++
	default:
		g.texts = true
	}
}

// surprises reports whether a reader that sees the first rows takes the column for numbers, and
// there are texts.
func (g *guess) surprises() bool { return g.texts && g.alike >= guessedRows }

func isNumber(text []byte) bool {
	_, err := strconv.ParseFloat(string(text), 64)
	return err == nil
}

// guessedRows is how many rows a reader sees in any case before it guesses: polars takes 100.
const guessedRows = 90

// Write takes a row.
func (w *tableWriter) Write(row []byte) error {
	w.seen = scanValid(row, w.seen[:0])
	w.columns.add(w.seen)
	if w.columns.more {
		return fmt.Errorf("the rows have more than %d different columns, too many for a table: write .jsonl", maxColumns)
	}
	for len(w.guesses) < len(w.columns.names) {
		w.guesses = append(w.guesses, guess{})
	}
	for _, f := range w.seen {
		w.guesses[w.columns.known[string(f.name)]].observe(f.value, w.rows)
	}
	w.rows++
	return w.spool.add(row)
}

// Close writes the table.
func (w *tableWriter) Close() error {
	names := w.columns.names
	if len(names) == 0 { // no reader takes a table without a column
		names = []string{w.answer}
	}
	for i, name := range names {
		w.separate(i)
		w.appendText([]byte(name))
	}
	if err := w.end(); err != nil {
		return err
	}
	w.cells = make([][]byte, len(names))
	return w.spool.each(func(row []byte) error {
		w.seen = scanValid(row, w.seen[:0])
		clear(w.cells)
		for _, f := range w.seen {
			w.cells[w.columns.known[string(f.name)]] = f.value
		}
		for i, value := range w.cells {
			w.separate(i)
			w.appendCell(value)
			if g := &w.guesses[i]; g.late && len(value) > 0 && value[0] != 'n' {
				if g.late = false; !isDecimal(value) { // the same number, and no integer
					w.line = append(w.line, ".0"...)
				}
			}
		}
		return w.end()
	})
}

// surprising returns the columns whose first rows are not like the others.
func (w *tableWriter) surprising() (names []string) {
	for i, g := range w.guesses {
		if g.surprises() {
			names = append(names, w.columns.names[i])
		}
	}
	return names
}

// remove removes the spool.
func (w *tableWriter) remove() { w.spool.remove() }

func (w *tableWriter) separate(i int) {
	if i > 0 {
		w.line = append(w.line, w.comma)
	}
}

func (w *tableWriter) end() error {
	if len(w.line) == 0 {
		w.line = append(w.line, `""`...) // of a row with one null: readers skip an empty line
	}
	_, err := w.to.Write(append(w.line, '\r', '\n'))
	w.line = w.line[:0]
	return err
}

// appendCell appends a value: null is an empty cell, the empty text a quoted one, a number as it
// came, an object or a list as JSON.
func (w *tableWriter) appendCell(value []byte) {
	switch {
	case len(value) == 0 || value[0] == 'n':
	case value[0] == '"':
		w.text = appendUnquoted(w.text[:0], value)
		w.appendText(w.text)
	case value[0] == '{' || value[0] == '[':
		w.appendText(value)
	default:
		w.line = append(w.line, value...)
	}
}

// isDecimal reports whether a number is not written as an integer.
func isDecimal(number []byte) bool { return bytes.ContainsAny(number, ".eE") }

// appendText appends a text, in quotes where that is needed.
func (w *tableWriter) appendText(text []byte) {
	guard := w.safe && len(text) > 0 && bytes.IndexByte([]byte("=+-@\t\r"), text[0]) >= 0
	quote := len(text) == 0 || text[0] == ' ' || text[len(text)-1] == ' '
	for i := 0; i < len(text) && !quote; i++ {
		c := text[i]
		quote = c == w.comma || c == '"' || c == '\n' || c == '\r'
	}
	if quote {
		w.line = append(w.line, '"')
	}
	if guard {
		w.line = append(w.line, '\'')
	}
	for quote {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			break
		}
		w.line = append(append(w.line, text[:i+1]...), '"')
		text = text[i+1:]
	}
	w.line = append(w.line, text...)
	if quote {
		w.line = append(w.line, '"')
	}
}
