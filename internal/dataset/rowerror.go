package dataset

import (
	"bytes"
	"fmt"
)

// A BadKind says in words for people what kind of thing is wrong with a row.
type BadKind string

// The kinds of bad rows. Those of the second group are for what makes messages from rows.
const (
	NotJSON       BadKind = "not JSON"
	TooLong       BadKind = "too long"
	NotObject     BadKind = "null or not an object"
	NotUTF8       BadKind = "not valid UTF-8"
	HasNUL        BadKind = "with a NUL byte"
	DuplicateName BadKind = "a name twice in one object"
	Ragged        BadKind = "more or fewer cells than the header"
	NotANumber    BadKind = "NaN or Infinity"
	TooDeep       BadKind = "nested too deeply"

	NullText    BadKind = "null where text is needed"
	EmptyText   BadKind = "empty"
	NotText     BadKind = "not text"
	NotRendered BadKind = "without a prompt"
)

// mostKept is how many bytes of a bad row are kept.
const mostKept = 64 << 10

// A RowError says what is wrong with one row. Reading may go on with the next one.
type RowError struct {
	Name    string // of the file, as the user gave it
	Line    int    // from 1, on which the row begins; in a Parquet file the number of the row
	Column  int    // from 1, in bytes; 0 where it does not matter
	Kind    BadKind
	Problem string // in plain words, with what to do about it
	Row     []byte // as it came, or its beginning if it is long
	Cut     bool   // Row is only the beginning
}

// Error names the file, the line and the problem.
func (e *RowError) Error() string { return fmt.Sprintf("%s, line %d: %s", e.Name, e.Line, e.Problem) }

// keep sets a copy of the row, or of its beginning.
func (e *RowError) keep(row []byte, cut bool) *RowError {
	e.Row, e.Cut = bytes.Clone(row[:min(len(row), mostKept)]), cut || len(row) > mostKept
	return e
}
