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

// scanStored is scan for a row that was checked before it was stored: what is no object at all, or
// was cut, is an error still.
func scanStored(row []byte, fields []field) ([]field, error) {
	if len(row) < 2 || row[0] != '{' || row[len(row)-1] != '}' || !utf8.Valid(row) {
		return fields, fmt.Errorf("the row is no JSON object: %.80q", row)
	}
	fields, whole := scanFields(row, fields)
	if !whole {
		return fields, fmt.Errorf("the row is no JSON object: %.80q", row)
	}
	return fields, nil
}

// scanValid is scan for what is known to be a JSON object.
func scanValid(row []byte, fields []field) []field {
	fields, _ = scanFields(row, fields)
	return fields
}

// scanFields appends the fields of a row that begins with a brace, and reports whether all that is
// opened in it is closed at its end, and not before.
func scanFields(row []byte, fields []field) (_ []field, whole bool) {
	depth, isName, from := 0, false, 0
	var name []byte
	for i := 0; i < len(row); i++ {
		switch row[i] {
		case '"':
			stop := stringEnd(row, i)
			if stop == 0 {
				return fields, false
			}
			if isName && depth == 1 {
				name, isName = row[i:stop], false
				colon := bytes.IndexByte(row[stop:], ':')
				if colon < 0 {
					return fields, false
				}
				from = stop + colon + 1
				stop = from
			}
			i = stop - 1
		case '{', '[':
			depth++
			isName = depth == 1
		case '}', ']', ',':
			if depth == 1 {
				if name != nil {
					value := trimmedSpace(row[from:i])
					if len(value) == 0 {
						return fields, false
					}
					fields, name = append(fields, field{name, value}), nil
				}
				isName = row[i] == ','
			}
			if row[i] != ',' {
				if depth--; depth == 0 {
					return fields, i == len(row)-1
				}
			}
		}
	}
	return fields, false
}

// isSpace reports whether JSON allows a character between its tokens.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// trimmedSpace returns JSON without the space around it.
func trimmedSpace(data []byte) []byte {
	for len(data) > 0 && isSpace(data[0]) {
		data = data[1:]
	}
	for len(data) > 0 && isSpace(data[len(data)-1]) {
		data = data[:len(data)-1]
	}
	return data
}

// elements returns the elements of a list, which is valid JSON.
func elements(list []byte) (all [][]byte) {
	depth, from := 0, 1
	end := func(i int) {
		if value := trimmedSpace(list[from:i]); depth == 1 && len(value) > 0 {
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

// stringEnd returns the index after the string that begins at start, or 0 if it does not end.
func stringEnd(row []byte, start int) int {
	for i := start + 1; ; i++ {
		n := bytes.IndexByte(row[i:], '"')
		if n < 0 {
			return 0
		}
		i += n
		escapes := 0
		for row[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}
