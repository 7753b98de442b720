package dataset

import (
	"bytes"
	"fmt"
	"io"

	"gleaner/internal/pipeline"
)

// jsonRows reads rows that are JSON objects: one on each line, several on a line, over several
// lines, or the elements of an array.
type jsonRows struct {
	w       *window
	scanner scanner
	null    bool // NaN and Infinity are read as null
	arrays  bool // an array at the top holds rows, and is none

	at    int   // the line of the first byte that was not consumed
	start int64 // the position at which that line begins
	line  int   // of the row that was returned last

	in       bool   // within an array
	element  bool   // an element of the array, or its end, comes next, not a comma
	elements int    // of the array so far
	end      bool   // after the array, nothing is read: the array was looked for
	out      []byte // a row that was rewritten

	read, repeated int64 // bytes of rows, and of those that were scanned for nothing

	rows, nulled, halves int    // for the notes
	hint                 string // what the first row may be instead, if it is the only one
}

// next returns the next row, io.EOF, a *RowError, or what ends reading.
func (j *jsonRows) next() ([]byte, error) {
	for {
		c, ok := j.space()
		switch {
		case !ok:
			return nil, j.atEnd()
		case !j.in && c == '[' && j.arrays:
			j.in, j.element, j.elements = true, true, 0
			j.w.at++
		case !j.in:
			return j.value()
		case c == ']':
			j.in = false
			j.w.at++
			if j.element && j.elements > 0 {
				return nil, j.bad(j.at, pipeline.NotJSON, "a comma stands before the closing ] of the array: "+withoutCommas())
			}
		case j.element:
			j.element = false
			j.elements++
			return j.value()
		case c == ',':
			j.w.at++
			j.element = true
		default:
			j.element = true // the element itself may be good
			return nil, j.bad(j.at, pipeline.NotJSON, fmt.Sprintf("a comma is missing before %s in the array: put one there", excerpt(j.w.data())))
		}
	}
}

// atEnd returns what the end of the file means here.
func (j *jsonRows) atEnd() error {
	for j.end && j.w.err == nil { // a damaged file shows at its end
		j.w.at = j.w.end
		j.w.more()
	}
	if err := j.w.failure(); err != nil {
		return err
	}
	if j.in {
		j.in = false
		return j.bad(j.at, pipeline.NotJSON, "the array is cut off at the end of the file, its closing ] is missing: fetch or write the file again")
	}
	return io.EOF
}

// space consumes space and returns the byte after it.
func (j *jsonRows) space() (byte, bool) {
	if j.end && !j.in {
		return 0, false
	}
	for {
		for i, c := range j.w.data() {
			switch c {
			case ' ', '\t', '\r':
			case '\n':
				j.at++
				j.start = j.w.position() + int64(i) + 1
			default:
				j.w.at += i
				return c, true
			}
		}
		j.w.at = j.w.end
		if !j.w.more() {
			return 0, false
		}
	}
}

// value returns the value that begins here, if it is a row.
func (j *jsonRows) value() ([]byte, error) {
	j.line = j.at
	for {
		data, last, oneLine := j.view()
		end, r := j.scanner.value(data, last)
		switch {
		case r == unfinished && oneLine:
			j.scanner.at = end
			return nil, j.badLine(pipeline.NotJSON, noEnd())
		case r == unfinished && j.w.more():
		case r == unfinished && j.w.failure() != nil:
			return nil, j.w.failure()
		case r == unfinished && j.w.full():
			return nil, j.tooLong()
		case r == unfinished:
			return nil, j.cutOff()
		case r == broken:
			return nil, j.broken()
		case j.in:
			return j.row(end)
		default:
			if problem := j.behind(end); problem != "" {
				return nil, j.badLine(pipeline.NotJSON, problem)
			}
			return j.row(end)
		}
	}
}

// view returns what is to be scanned, and whether nothing follows it. After too much was scanned
// for nothing, objects may not go over several lines any more: a hostile file could make each of
// its lines the beginning of one.
func (j *jsonRows) view() (data []byte, last, oneLine bool) {
	data = j.w.data()
	if !j.in && j.repeated > allowance+j.read {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return data[:i], true, true
		}
	}
	return data, j.w.err != nil, false
}

// behind says what is wrong with what stands on the line after a value, or nothing. Several objects
// may stand on one line.
func (j *jsonRows) behind(end int) string {
	for {
		data := j.w.data()
		rest := bytes.TrimLeft(data[end:], " \t\r")
		switch {
		case len(rest) == 0 && j.w.more():
		case len(rest) == 0, rest[0] == '\n', rest[0] == '{', rest[0] == '[' && j.arrays:
			return ""
		case data[0] != '{':
			return fmt.Sprintf("begins with %s, not with {: %s", excerpt(firstLine(data)), howRows())
		case rest[0] == ',':
			return "a comma stands after the object: " + withoutLineCommas()
		default:
			return fmt.Sprintf("is not JSON at column %d: %s stands after the object", j.column(len(data)-len(rest)), excerpt(firstLine(rest)))
		}
	}
}

// row consumes the value up to end and returns it as a row.
func (j *jsonRows) row(end int) ([]byte, error) {
	s, row := &j.scanner, j.w.data()[:end]
	kind, problem := pipeline.NotObject, ""
	switch {
	case row[0] != '{':
		problem = fmt.Sprintf("is %s, not a JSON object: %s", kindOf(row[0]), howRows())
	case s.fault == notFinite && j.null:
	case s.fault != noFault:
		kind, problem = explain(row, s.fault, s.at, j.column(s.at))
	}
	line, column := j.at, j.column(s.at)
	if s.lines {
		j.at += bytes.Count(row, []byte{'\n'})
		j.start = j.w.position() + int64(bytes.LastIndexByte(row, '\n')) + 1
	}
	j.w.at += end // row stays valid until the window reads more
	j.read += int64(end)
	if problem != "" {
		e := j.badAt(line, kind, problem)
		e.Column = column
		return nil, e.Keep(row, false)
	}
	if s.lines || !s.finite {
		nulled := 0
		j.out, nulled = rewrite(j.out[:0], row, !s.lines)
		j.nulled += nulled
		row = j.out
	}
	if len(row) > pipeline.MaxRowBytes {
		return nil, j.badAt(line, pipeline.TooLong, tooLong(row)).Keep(row[:pipeline.MaxKeptBytes], true)
	}
	if s.loneHalves > 0 {
		j.halves++
	}
	if j.rows++; j.rows == 1 {
		j.hint = hintOf(row)
	}
	return row, nil
}

// column returns on which column of its line, from 1, a byte of the data stands.
func (j *jsonRows) column(at int) int {
	before := j.w.data()[:at]
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
		return at - i
	}
	return at + 1 + int(j.w.position()-j.start)
}

func (j *jsonRows) badAt(line int, kind pipeline.BadKind, problem string) *pipeline.RowError {
	return &pipeline.RowError{Line: line, Kind: kind, Problem: problem}
}

// bad returns an error for the file where nothing of it is consumed.
func (j *jsonRows) bad(line int, kind pipeline.BadKind, problem string) error {
	j.line = line
	line0, _ := j.w.line()
	return j.badAt(line, kind, problem).Keep(line0[:min(len(line0), 200)], len(line0) > 200)
}

// badLine consumes the rest of the line, which is the bad row.
func (j *jsonRows) badLine(kind pipeline.BadKind, problem string) error {
	line, whole := j.w.line()
	line = bytes.TrimRight(line, " \t\r")
	e := j.badAt(j.at, kind, problem)
	if len(line) > pipeline.MaxRowBytes {
		e.Kind, e.Problem = pipeline.TooLong, tooLong(line)
	}
	e.Column = j.column(min(j.scanner.at, len(line)))
	e.Keep(line, !whole)
	j.w.skipLine()
	return e
}
