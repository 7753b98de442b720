package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
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
	Unreadable    BadKind = "unreadable"
	NotAList      BadKind = "without a list"

	NullText    BadKind = "null where text is needed"
	EmptyText   BadKind = "empty"
	NotText     BadKind = "not text"
	NotRendered BadKind = "without a prompt"
	OtherRun    BadKind = "asking for other options than the run's"
	NoID        BadKind = "without an id of its own"
	SameID      BadKind = "with the id of an earlier row"
)

// MaxKeptBytes is how many bytes of a bad row are kept.
const MaxKeptBytes = 64 << 10

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

// Keep sets a copy of the row, or of its beginning, and returns the error.
func (e *RowError) Keep(row []byte, cut bool) *RowError {
	e.Row, e.Cut = bytes.Clone(row[:min(len(row), MaxKeptBytes)]), cut || len(row) > MaxKeptBytes
	return e
}

// mostExamples is how many rows of a kind are named.
const mostExamples = 3

// BadRows counts bad rows by kind, and keeps the first few of each. Its size does not grow with
// their number.
type BadRows struct {
	kinds []BadRowsOfKind
	total int
}

// BadRowsOfKind are the bad rows of one kind.
type BadRowsOfKind struct {
	Kind  BadKind
	Count int
	First []RowError // at most three, without the rows themselves
}

// Add counts a row.
func (b *BadRows) Add(e *RowError) {
	b.total++
	i := slices.IndexFunc(b.kinds, func(k BadRowsOfKind) bool { return k.Kind == e.Kind })
	if i < 0 {
		i = len(b.kinds)
		b.kinds = append(b.kinds, BadRowsOfKind{Kind: e.Kind})
	}
	k := &b.kinds[i]
	k.Count++
	if len(k.First) < mostExamples {
		first := *e
		first.Row, first.Problem = nil, strings.Clone(e.Problem)
		k.First = append(k.First, first)
	}
}

// Total returns how many rows were added.
func (b *BadRows) Total() int { return b.total }

// Kinds returns the rows by kind, the most frequent first.
func (b *BadRows) Kinds() []BadRowsOfKind {
	kinds := slices.Clone(b.kinds)
	slices.SortStableFunc(kinds, func(x, y BadRowsOfKind) int { return y.Count - x.Count })
	return kinds
}

// String shows the kinds with their counts, and what is wrong with the first rows of each, a line
// for each.
func (b *BadRows) String() string {
	var out strings.Builder
	for _, k := range b.Kinds() {
		fmt.Fprintf(&out, "%d %s\n", k.Count, k.Kind)
		said := ""
		for _, e := range k.First {
			problem := e.Problem
			if problem == said {
				problem = "the same"
			} else {
				said = problem
			}
			fmt.Fprintf(&out, "  %s, line %d: %s\n", e.Name, e.Line, problem)
		}
	}
	return out.String()
}
