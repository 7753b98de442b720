package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"gleaner/internal/pipeline"
)

// mostNames is how many names a message lists.
const mostNames = 10

// list shows names, at most a few.
func list(names []string) string {
	if len(names) == 0 {
		return "no names"
	}
	var b strings.Builder
	for i, name := range names {
		if i == mostNames {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%.60q", name)
	}
	return b.String()
}

// hintOf says what an object may be that is not a row but holds rows; nothing where it looks like a
// row. It may be cut off.
func hintOf(object []byte) string {
	if path := arrayIn(object); path != "" {
		return fmt.Sprintf("if the rows stand in its list %q, add --rows-at %s", path, path)
	}
	if isColumnar(object) {
		return "it holds a table column by column, as to_json of pandas writes it: " + fromColumns()
	}
	return ""
}

// isColumnar reports whether an object holds columns: objects whose keys are the numbers of rows,
// or two lists or more of the same length. Of such objects the beginning is enough.
func isColumnar(object []byte) bool {
	d := json.NewDecoder(bytes.NewReader(object[:min(len(object), pipeline.MaxKeptBytes)]))
	d.UseNumber()
	for _, want := range []any{json.Delim('{'), nil, json.Delim('{'), "0", nil, "1"} {
		token, err := d.Token()
		if _, nested := token.(json.Delim); err != nil || want == nil && nested || want != nil && token != want {
			return hasEqualLists(object)
		}
	}
	return true
}

// hasEqualLists reports whether all values of an object are lists of one length. Lists of one are
// found in rows.
func hasEqualLists(object []byte) bool {
	var columns map[string][]json.RawMessage
	if len(object) > pipeline.MaxRowBytes || json.Unmarshal(object, &columns) != nil || len(columns) < 2 {
		return false
	}
	length := -1
	for _, column := range columns {
		if length >= 0 && len(column) != length {
			return false
		}
		length = len(column)
	}
	return length > 1
}

// arrayIn returns the path of the first list of objects in a row, or nothing. It reads only the
// beginning of the row, which may be cut off.
func arrayIn(row []byte) string {
	row = row[:min(len(row), pipeline.MaxKeptBytes)]
	if len(row) == 0 || row[0] != '{' {
		return ""
	}
	var path []string // of the open objects
	last, lists := "", 0
	for i := 0; i < len(row); i++ {
		switch row[i] {
		case '"':
			end := textEnd(row, i)
			if rest := bytes.TrimLeft(row[end:], whitespace); len(rest) > 0 && rest[0] == ':' {
				last = unquote(row[i:end])
			}
			i = end - 1
		case '{':
			path, last = append(path, last), ""
		case '}':
			path = path[:max(0, len(path)-1)]
		case '[':
			if rest := bytes.TrimLeft(row[i+1:], whitespace); lists == 0 && last != "" && len(rest) > 0 && rest[0] == '{' {
				return strings.Join(append(path[1:], last), ".")
			}
			lists++
		case ']':
			lists--
		case ',':
			last = ""
		}
		if len(path) > maxNesting {
			return ""
		}
	}
	return ""
}

// unquote returns the value of a JSON string.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var name string
	if json.Unmarshal(quoted, &name) != nil { // scan saw that it is valid
		return string(quoted)
	}
	return name
}
