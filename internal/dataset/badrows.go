package dataset

import (
	"encoding/json"
	"fmt"
	"io"

	"gleaner/internal/pipeline"
)

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
func (w *BadWriter) Write(e *pipeline.RowError) error {
	err := w.out.Encode(struct {
		File   string           `json:"file"`
		Line   int              `json:"line"`
		Kind   pipeline.BadKind `json:"kind"`
		Reason string           `json:"reason"`
		Row    string           `json:"row"`
		Cut    bool             `json:"cut,omitempty"`
	}{e.Name, e.Line, e.Kind, e.Problem, string(e.Row), e.Cut})
	if err != nil {
		return fmt.Errorf("writing the bad row of %s, line %d: %w", e.Name, e.Line, err)
	}
	w.lines++
	return nil
}

// Lines returns how many rows were written.
func (w *BadWriter) Lines() int { return w.lines }
