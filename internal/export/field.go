package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// whitespace is what JSON allows between its tokens.
const whitespace = " \t\r\n"

// A field is a column of a row: its name and value as they stand there.
type field struct {
	name  []byte // in quotes
	value []byte
}

// A column is one of Gleaner's columns with its value as JSON.
type column struct {
	name  string
	value []byte
}

// is reports whether a name is that of the field.
func (f field) is(name string) bool {
	inner := f.name[1 : len(f.name)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == name
	}
	return f.text() == name
}

// text returns the field's name.
func (f field) text() string { return unquote(f.name) }

// unquote returns the value of a JSON string. Half a surrogate pair becomes U+FFFD.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return string(quoted)
	}
	return text
}

// scan appends the fields of a row, which is one JSON object. In valid JSON every quote outside of
// a string begins one, and so finding the fields needs no parser.
func scan(row []byte, fields []field) ([]field, error) {
	if len(row) == 0 || row[0] != '{' || !utf8.Valid(row) || !json.Valid(row) {
		return fields, fmt.Errorf("the row is no JSON object: %.80q", row)
	}
	return scanValid(row, fields), nil
}

// scanValid is scan for what is known to be a JSON object.
func scanValid(row []byte, fields []field) []field {
	depth, isName, from := 0, false, 0
	var name []byte
	end := func(i int) {
		if depth == 1 && name != nil {
			fields = append(fields, field{name, bytes.Trim(row[from:i], whitespace)})
			name = nil
		}
	}
	for i := 0; i < len(row); i++ {
		switch row[i] {
		case '"':
			stop := stringEnd(row, i)
			if isName && depth == 1 {
				name, isName = row[i:stop], false
				from = stop + bytes.IndexByte(row[stop:], ':') + 1
				stop = from
			}
			i = stop - 1
		case '{', '[':
			depth++
			isName = depth == 1
		case '}', ']':
			end(i)
			depth--
		case ',':
			end(i)
			isName = depth == 1
		}
	}
	return fields
}

// elements returns the elements of a list, which is valid JSON.
func elements(list []byte) (all [][]byte) {
	depth, from := 0, 1
	end := func(i int) {
		if value := bytes.Trim(list[from:i], whitespace); depth == 1 && len(value) > 0 {
			all = append(all, value)
		}
	}
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '"':
			i = stringEnd(list, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			end(i)
			depth--
		case ',':
			if depth == 1 {
				end(i)
				from = i + 1
			}
		}
	}
	return all
}

// stringEnd returns the index after the string that begins at start.
func stringEnd(row []byte, start int) int {
	for i := start + 1; ; i++ {
		i += bytes.IndexByte(row[i:], '"')
		escapes := 0
		for row[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}
