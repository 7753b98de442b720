package prompt

import (
	"bytes"
	"encoding/json"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt/chat"
)

// RowID returns the id by which the user knows a row, which is a text, or a number as it came. It
// is empty if the run names no column for that. Of a row that has none the error is a *RowProblem.
func RowID(spec pipeline.Spec, row []byte) (string, error) {
	if spec.ID == "" {
		return "", nil
	}
	value, found, err := chat.Lookup(row, spec.ID)
	switch {
	case err != nil:
		return "", problem(pipeline.NoID, "%v", err)
	case !found:
		return "", problem(pipeline.NoID, "there is no column %q for its id; the row's columns are %s", spec.ID, columnsOf(row))
	case isBool(value):
		return "", problem(pipeline.NoID, "column %q is %s, and an id is a text or a number", spec.ID, value)
	}
	id, err := chat.Text(value)
	switch {
	case err != nil:
		return "", problem(pipeline.NoID, "column %q %v, and an id is a text or a number", spec.ID, err)
	case strings.TrimSpace(id) == "":
		return "", problem(pipeline.NoID, "column %q is empty, and an id is not", spec.ID)
	case len(id) > pipeline.MaxRowIDBytes:
		return "", problem(pipeline.NoID, "column %q has %d bytes, and an id has at most %d", spec.ID, len(id), pipeline.MaxRowIDBytes)
	}
	return id, nil
}

func isBool(value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	return len(value) > 0 && (value[0] == 't' || value[0] == 'f')
}

// RowID returns the id by which the user knows a row of the run, see RowID.
func (r *Renderer) RowID(row []byte) (string, error) { return RowID(r.spec, row) }
