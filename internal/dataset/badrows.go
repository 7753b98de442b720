package dataset

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

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

// A BadWriter writes bad rows as JSON Lines: file, line, kind, reason, and the row as it came.
type BadWriter struct {
	out   *json.Encoder
	lines int
}

// NewBadWriter returns a writer to out, which the caller closes.
func NewBadWriter(out io.Writer) *BadWriter {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &BadWriter{out: encoder}
}

// Write writes one row. What is no UTF-8 in it is written as U+FFFD, and "cut" is true if only the
// beginning of the row is there.
func (w *BadWriter) Write(e *RowError) error {
	err := w.out.Encode(struct {
		File   string  `json:"file"`
		Line   int     `json:"line"`
		Kind   BadKind `json:"kind"`
		Reason string  `json:"reason"`
		Row    string  `json:"row"`
		Cut    bool    `json:"cut,omitempty"`
	}{e.Name, e.Line, e.Kind, e.Problem, string(e.Row), e.Cut})
	if err != nil {
		return fmt.Errorf("writing the bad row of %s, line %d: %w", e.Name, e.Line, err)
	}
	w.lines++
	return nil
}

// Lines returns how many rows were written.
func (w *BadWriter) Lines() int { return w.lines }
