package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"

	"gleaner/internal/pipeline"
)

// tableRows reads the rows of a table: CSV after RFC 4180, also with other delimiters. A cell is
// text and never taken for anything else; an empty cell without quotes is null.
type tableRows struct {
	w         *window
	delimiter byte
	ends      uint64 // eight delimiters, for looking at eight bytes at once
	loneCR    bool   // lines end with a carriage return alone
	legacy    bool   // the text was decoded from another encoding, so U+FFFD is what had no meaning there

	heads [][]byte // the columns' names as they stand in a row: {"a":
	at    int      // the line of the first byte that was not consumed
	line  int      // of the row that was returned last
	out   []byte
	rows  int

	// Of the record that was read last.
	cells  int
	lines  int    // that end in it, without its own end
	fault  string // what is wrong with it
	kind   pipeline.BadKind
	column int
}

func newTable(w *window, form tableForm) *tableRows {
	return &tableRows{w: w, delimiter: form.delimiter, ends: ones * uint64(form.delimiter), loneCR: form.loneCR, at: 1}
}

// next returns the next row, io.EOF, a *RowError, or what ends reading.
func (t *tableRows) next() ([]byte, error) {
	for {
		data, last := t.w.data(), t.w.err != nil
		end, ok := t.parse(data, last)
		switch {
		case len(data) > 0 && ok:
		case t.w.more():
			continue
		case t.w.failure() != nil:
			return nil, t.w.failure()
		case len(data) == 0:
			return nil, io.EOF
		default:
			return nil, t.unclosed()
		}
		t.line = t.at
		t.w.at += end
		t.at += t.lines
		raw := bytes.TrimRight(data[:end], "\r\n")
		if len(raw) == 0 {
			continue // a blank line
		}
		if t.check(raw); t.fault != "" {
			e := &pipeline.RowError{Line: t.line, Column: t.column, Kind: t.kind, Problem: t.fault}
			return nil, e.Keep(raw, false)
		}
		t.rows++
		return t.out, nil
	}
}

// check finds what is wrong with the record as a whole.
func (t *tableRows) check(raw []byte) {
	switch {
	case t.fault != "":
	case !utf8.Valid(raw):
		at := invalidAt(raw)
		t.column = at + 1
		t.kind, t.fault = explain(raw, invalidUTF8, at, at+1)
	case t.legacy && bytes.Contains(raw, []byte("\ufffd")):
		t.kind, t.column = pipeline.NotUTF8, bytes.Index(raw, []byte("\ufffd"))+1
		t.fault = "has a byte that its encoding does not know: give the right --encoding"
	case t.cells != len(t.heads):
		t.kind = pipeline.Ragged
		t.fault = fmt.Sprintf("has %s, and the header has %d: put a cell that holds a %q, a quote or a line break into double quotes", cellCount(t.cells), len(t.heads), t.delimiter)
	case len(t.out) > pipeline.MaxRowBytes:
		t.kind, t.fault = pipeline.TooLong, tooLong(nil)
	}
}

func cellCount(n int) string {
	if n == 1 {
		return "1 cell"
	}
	return fmt.Sprintf("%d cells", n)
}

// unclosed consumes the first line of the data and returns the error for it: a quote is not closed,
// or the record is too long.
func (t *tableRows) unclosed() error {
	t.line = t.at
	line, whole := t.w.line()
	e := &pipeline.RowError{Line: t.line, Kind: pipeline.NotJSON, Problem: "a quote of this row is not closed in the rest of the file: close it, or double it if it is part of the text"}
	if t.w.full() {
		e.Kind, e.Problem = pipeline.TooLong, tooLong(nil)+", or close its quotes"
	}
	e.Keep(line, !whole)
	t.w.skipLine()
	if len(t.w.data()) > 0 {
		t.w.at++
		t.at++
	}
	return e
}

// parse reads one record from the data and makes the row from it. It returns where the record ends,
// with its line end, or false if the data end before it does.
func (t *tableRows) parse(data []byte, last bool) (end int, ok bool) {
	t.cells, t.lines, t.fault, t.kind, t.column = 0, 0, "", "", 0
	t.out = t.out[:0]
	for i := 0; ; i++ {
		if t.cells < len(t.heads) {
			t.out = append(t.out, t.heads[t.cells]...)
		}
		t.cells++
		if i, ok = t.cell(data, i, last); !ok {
			return 0, false
		}
		if i < len(data) && data[i] == t.delimiter {
			continue
		}
		t.out = append(t.out, '}')
		switch {
		case i == len(data):
			return i, true
		case data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n':
			i++
		}
		t.lines++
		return i + 1, true
	}
}

// cell reads a cell and returns the index of the delimiter or line end after it.
func (t *tableRows) cell(data []byte, i int, last bool) (end int, ok bool) {
	if i >= len(data) || data[i] != '"' {
		begin := i
		end, ok = t.bare(data, i, last)
		if end == begin {
			t.out = append(t.out, "null"...)
		}
		return end, ok
	}
	if end, ok = t.quoted(data, i+1, last); !ok || end == len(data) {
		return end, ok
	}
	if c := data[end]; c == t.delimiter || c == '\n' || c == '\r' {
		if stop, ok := t.stops(data, end, last); !ok || stop {
			return end, ok
		}
	}
	t.note(pipeline.NotJSON, end, fmt.Sprintf("has %s after the closing quote of a cell: double the quotes that are part of the text", excerpt(firstLine(data[end:]))))
	return t.bare(data, end, last)
}

// stops reports whether the delimiter or line end at i ends a cell. It returns false for ok if more
// data are needed to say so.
func (t *tableRows) stops(data []byte, i int, last bool) (stop, ok bool) {
	switch {
	case data[i] != '\r' || t.delimiter == '\r' || t.loneCR:
		return true, true
	case i+1 < len(data):
		return data[i+1] == '\n', true
	}
	return true, last
}

// note keeps the first fault of a record.
func (t *tableRows) note(kind pipeline.BadKind, at int, problem string) {
	if t.fault == "" {
		t.kind, t.column, t.fault = kind, at+1, problem
	}
}

// bare reads a cell without quotes.
func (t *tableRows) bare(data []byte, i int, last bool) (end int, ok bool) {
	begin, opened := i, false
	for {
		for i+8 <= len(data) {
			v := binary.LittleEndian.Uint64(data[i:])
			d := v ^ t.ends
			if found := inText(v) | (d-ones)&^d&highs; found != 0 {
				i += firstOf(found)
				break
			}
			i += 8
		}
		stop := i >= len(data)
		if stop && !last {
			return i, false
		}
		if !stop && (data[i] == t.delimiter || data[i] == '\n' || data[i] == '\r') {
			if stop, ok = t.stops(data, i, last); !ok {
				return i, false
			}
		}
		if !stop && data[i] >= ' ' && data[i] != '"' && data[i] != '\\' {
			i++ // one of the last bytes
			continue
		}
		if !opened && (i > begin || !stop) {
			t.out, opened = append(t.out, '"'), true
		}
		t.out = append(t.out, data[begin:i]...)
		if stop {
			if opened {
				t.out = append(t.out, '"')
			}
			return i, true
		}
		t.escape(data, i)
		i++
		begin = i
	}
}

// quoted reads a cell after its opening quote, and returns the index after the closing one.
func (t *tableRows) quoted(data []byte, i int, last bool) (end int, ok bool) {
	t.out = append(t.out, '"')
	begin := i
	for {
		for i+8 <= len(data) {
			if found := inText(binary.LittleEndian.Uint64(data[i:])); found != 0 {
				i += firstOf(found)
				break
			}
			i += 8
		}
		if i >= len(data) {
			return i, false
		}
		c := data[i]
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		t.out = append(t.out, data[begin:i]...)
		switch {
		case c != '"':
			t.escape(data, i)
			if c == '\n' || c == '\r' && t.loneCR {
				t.lines++
			}
		case i+1 >= len(data) && !last:
			return i, false
		case i+1 < len(data) && data[i+1] == '"':
			t.out = append(t.out, `\"`...)
			i++
		default:
			t.out = append(t.out, '"')
			return i + 1, true
		}
		i++
		begin = i
	}
}

// escape appends the byte at i as JSON writes it.
func (t *tableRows) escape(data []byte, i int) {
	if data[i] == 0 {
		t.note(pipeline.HasNUL, i, fmt.Sprintf("has a NUL byte at column %d: the file is damaged, or no text in UTF-8", i+1))
	}
	t.out = appendCharacter(t.out, rune(data[i]))
}

// inText marks, as special does, the bytes that JSON escapes in a string.
func inText(v uint64) uint64 {
	quote, slash := v^(ones*'"'), v^(ones*'\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (v-ones*0x20)&^v) & highs
}
