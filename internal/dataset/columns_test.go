package dataset

import (
	"bytes"
	"encoding/json"
	"testing"
)

// checkColumns compares the columns of a row and the elements of its lists with encoding/json.
func checkColumns(t *testing.T, row []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	if json.Unmarshal(row, &want) != nil {
		return
	}
	columns := columnsOf(nil, row)
	if len(columns) != len(want) {
		t.Fatalf("%s has %d columns, want %d", row, len(columns), len(want))
	}
	for _, c := range columns {
		value := row[c.start:c.end]
		if !bytes.Equal(value, want[unquote(c.name)]) {
			t.Fatalf("column %s of %s is %s, want %s", c.name, row, value, want[unquote(c.name)])
		}
		var elements []json.RawMessage
		if value[0] != '[' || json.Unmarshal(value, &elements) != nil {
			continue
		}
		spans := elementsOf(nil, value)
		if len(spans) != len(elements) {
			t.Fatalf("%s has %d elements, want %d", value, len(spans), len(elements))
		}
		for i, s := range spans {
			if !bytes.Equal(value[s.start:s.end], elements[i]) {
				t.Fatalf("element %d of %s is %s", i, value, value[s.start:s.end])
			}
		}
	}
}
