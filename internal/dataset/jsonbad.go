package dataset

import (
	"bytes"
	"fmt"

	"gleaner/internal/pipeline"
)

// allowance is how many bytes may be scanned twice before it has to be in proportion to the file.
const allowance = 4 * lastWindow

// broken returns the error for a value of which the end cannot be said, and consumes what the error
// is about: the line, in an array the element, and where objects go over several lines the object.
func (j *jsonRows) broken() error {
	s, data := &j.scanner, j.w.data()
	kind, problem := explain(data[:min(len(data), s.at+100)], s.fault, s.at, j.column(s.at))
	switch {
	case j.in:
		return j.skipElement(kind, problem)
	case bytes.IndexByte(data[:s.at], '\n') < 0:
		return j.badLine(kind, problem)
	}
	return j.severalLines(kind, problem)
}

// cutOff returns the error for a value that does not end in the file.
func (j *jsonRows) cutOff() error {
	const problem = "the JSON object is cut off at the end of the file: fetch or write the file again"
	j.scanner.at = len(j.w.data())
	switch {
	case j.in:
		e := j.badAt(j.at, pipeline.NotJSON, problem).Keep(j.w.data(), false)
		j.w.at, j.in = j.w.end, false
		return e
	case bytes.IndexByte(j.w.data(), '\n') < 0:
		return j.badLine(pipeline.NotJSON, problem)
	}
	return j.severalLines(pipeline.NotJSON, problem)
}

// severalLines returns the error for an object that goes on over the end of its line and is broken
// there. If its first line is the brace alone, the objects of this file are written over several
// lines, and the next one begins on a line that begins with a brace. Otherwise each line is a row,
// and this one lacks its end.
func (j *jsonRows) severalLines(kind pipeline.BadKind, problem string) error {
	data := j.w.data()
	first := firstLine(data)
	if len(bytes.Trim(first, whitespace)) > 1 {
		j.repeated += int64(j.scanner.at)
		j.scanner.at = len(first)
		return j.badLine(pipeline.NotJSON, noEnd())
	}
	e := j.badAt(j.at, kind, fmt.Sprintf("%s (in the object that begins here, on line %d)", problem, j.at+bytes.Count(data[:j.scanner.at], []byte{'\n'})))
	e.Keep(data[:min(len(data), j.scanner.at+200)], true)
	for {
		j.w.skipLine()
		if !j.newline() {
			return e
		}
		switch c, _ := j.peek(); c {
		case '{':
			return e
		case '}':
			j.w.at++
			return e
		}
	}
}

// newline consumes the end of a line.
func (j *jsonRows) newline() bool {
	if c, ok := j.peek(); !ok || c != '\n' {
		return false
	}
	j.w.at++
	j.at++
	j.start = j.w.position()
	return true
}

func (j *jsonRows) peek() (byte, bool) {
	if len(j.w.data()) == 0 && !j.w.more() {
		return 0, false
	}
	return j.w.data()[0], true
}

// tooLong returns the error for a value that does not fit into the window, and consumes it.
func (j *jsonRows) tooLong() error {
	data := j.w.data()
	problem := tooLong(data)
	first := firstLine(data)
	lines := len(first) < len(data)
	if !j.in && (!lines || len(bytes.Trim(first, whitespace)) > 1) {
		if lines {
			return j.severalLines(pipeline.TooLong, problem)
		}
		return j.badLine(pipeline.TooLong, problem)
	}
	e := j.badAt(j.at, pipeline.TooLong, problem).Keep(data, true)
	j.skipValue()
	return e
}

// skipElement consumes the broken element of an array. If what follows cannot be told apart from
// it, reading ends: rows would be lost unseen.
func (j *jsonRows) skipElement(kind pipeline.BadKind, problem string) error {
	e := j.badAt(j.at, kind, problem)
	data := j.w.data()
	e.Column = j.column(j.scanner.at)
	kept := bytes.Clone(data[:min(len(data), pipeline.MaxKeptBytes)])
	skipped, ok := j.skipValue()
	e.Keep(kept[:min(int64(len(kept)), skipped)], skipped > int64(len(kept)))
	if c, found := j.space(); !ok || skipped > pipeline.MaxRowBytes || !found || c != ',' && c != ']' {
		return &lostError{e}
	}
	return e
}

// A lostError says that the rows after a broken one in an array cannot be found.
type lostError struct{ row *pipeline.RowError }

func (e *lostError) Error() string {
	return fmt.Sprintf("line %d: %s; where the next row of the array begins cannot be said: repair this one", e.row.Line, e.row.Problem)
}

// skipValue consumes a value however long it is, by its brackets. It returns how many bytes that
// were, and false if the value did not end.
func (j *jsonRows) skipValue() (skipped int64, ok bool) {
	var b brackets
	for {
		data := j.w.data()
		n, lines, done := b.skip(data)
		if lines > 0 {
			j.at += lines
			j.start = j.w.position() + int64(bytes.LastIndexByte(data[:n], '\n')) + 1
		}
		j.w.at += n
		skipped += int64(n)
		if done {
			return skipped, true
		}
		if !j.w.more() {
			return skipped, false
		}
	}
}

// brackets finds the end of a value by its brackets and quotes alone. It is the same for parts that
// follow each other.
type brackets struct {
	depth   int
	text    bool // within a string
	escaped bool // the next byte of the string is escaped
	begun   bool
}

// skip returns how many bytes of data belong to the value, how many lines end in them, and whether
// the value ends there.
func (b *brackets) skip(data []byte) (n, lines int, done bool) {
	for i, c := range data {
		if c == '\n' {
			lines++
			b.text, b.escaped = false, false // no string goes on over the end of a line
		}
		switch {
		case b.escaped:
			b.escaped = false
		case b.text:
			b.text, b.escaped = c != '"', c == '\\'
		case c == '"':
			b.text = true
		case c == '{' || c == '[':
			b.depth++
		case b.depth == 0 && (c == ',' || c == ']' || c == '}') && b.begun:
			return i, lines, true
		case c == '}' || c == ']':
			b.depth--
			if b.depth <= 0 {
				return i + 1, lines, true
			}
		}
		b.begun = true
	}
	return len(data), lines, false
}
