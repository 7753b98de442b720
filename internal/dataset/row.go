package dataset

import (
	"bytes"
	"fmt"
	"slices"

	"gleaner/internal/pipeline"
)

// Columns returns the names of a row's columns in their order.
func Columns(row []byte) ([]string, error) {
	row = bytes.Trim(row, whitespace)
	raw, ok := scan(row, nil)
	if !ok {
		return nil, fmt.Errorf("row: %s", notRow(row))
	}
	names := make([]string, len(raw))
	for i, name := range raw {
		names[i] = unquote(name)
	}
	return names, nil
}

// A Field is a further column of a row.
type Field struct {
	Name  string
	Value any // as encoding/json writes it; nil is null
}

// Append returns a copy of the row with further columns at its end. The existing columns stay as
// they are, byte for byte. It returns an error if the row has a column of the same name already.
func Append(row []byte, fields ...Field) ([]byte, error) {
	row = bytes.Trim(row, whitespace)
	names, ok := scan(row, nil)
	if !ok {
		return nil, fmt.Errorf("row: %s", notRow(row))
	}
	open := bytes.TrimRight(row[:len(row)-1], whitespace) // without its closing brace
	out := append(make([]byte, 0, len(row)+512), open...)
	filled := len(names) > 0
	for _, f := range fields {
		name, err := pipeline.Encode(f.Name)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		value, err := pipeline.Encode(f.Value)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		if slices.ContainsFunc(names, func(n []byte) bool { return unquote(n) == f.Name }) {
			return nil, fmt.Errorf("the row has a column %q already", f.Name)
		}
		if filled {
			out = append(out, ", "...)
		}
		filled = true
		out = append(append(append(out, name...), ": "...), value...)
		names = append(names, name)
	}
	return append(out, '}'), nil
}

// scan appends the names of the row's columns, in quotes as they are written there, and reports
// whether the row is one JSON object in valid UTF-8.
func scan(row []byte, names [][]byte) ([][]byte, bool) {
	var s scanner
	end, r := s.value(row, true)
	if len(row) == 0 || row[0] != '{' || r != complete || end != len(row) || s.fault != noFault && s.fault != nameTwice {
		return names, false
	}
	depth, isName := 0, false
	for i := 0; i < len(row); i++ {
		switch row[i] {
		case '"':
			end := textEnd(row, i)
			if isName && depth == 1 {
				names = append(names, row[i:end])
				isName = false
			}
			i = end - 1
		case '{', '[':
			depth++
			isName = depth == 1
		case '}', ']':
			depth--
		case ',':
			isName = depth == 1
		}
	}
	return names, true
}

// notRow says why a row is none.
func notRow(row []byte) string {
	var s scanner
	end, r := s.value(row, true)
	switch {
	case len(row) == 0:
		return "is empty"
	case r == unfinished:
		return noEnd()
	case r == broken || s.fault != noFault:
		_, problem := explain(row, s.fault, s.at, s.at+1)
		return withFile(problem, "FILE")
	case row[0] != '{':
		return fmt.Sprintf("is %s, not a JSON object", kindOf(row[0]))
	}
	return fmt.Sprintf("is not JSON at column %d: something stands after the object", end+1)
}
