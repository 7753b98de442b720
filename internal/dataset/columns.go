package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// A column is a part of a row.
type column struct {
	name  []byte // in quotes, as it is written
	start int    // of its value in the row
	end   int
}

// columnsOf appends the columns of a row, which has to be a JSON object on one line.
func columnsOf(columns []column, row []byte) []column {
	var name []byte
	depth, start := 0, -1
	for i := 0; i < len(row); i++ {
		c := row[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			continue
		case depth == 1 && (c == ',' || c == '}'):
			if start >= 0 {
				columns = append(columns, column{name, start, i - trailing(row[start:i])})
			}
			name, start = nil, -1
			if c == '}' {
				return columns
			}
			continue
		case depth == 1 && start < 0 && name == nil && c == '"':
			end := textEnd(row, i)
			name = row[i:end]
			i = end - 1
			continue
		case depth == 1 && start < 0 && c == ':':
			continue
		case depth == 1 && start < 0:
			start = i
		}
		switch c {
		case '"':
			i = textEnd(row, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return columns
}

// trailing returns how many bytes of space stand at the end of data.
func trailing(data []byte) int { return len(data) - len(bytes.TrimRight(data, whitespace)) }

// elementsOf appends the elements of a list: where each begins and ends in it.
func elementsOf(elements []span, list []byte) []span {
	depth, start := 0, -1
	for i := 0; i < len(list); i++ {
		c := list[i]
		if depth == 1 && (c == ',' || c == ']') && start >= 0 {
			elements = append(elements, span{int32(start), int32(i - trailing(list[start:i]))})
			start = -1
		} else if depth == 1 && start < 0 && c != ' ' && c != '\t' && c != ',' && c != ']' {
			start = i
		}
		switch c {
		case '"':
			i = textEnd(list, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return elements
}

// valueOf returns a JSON value in the types that conditions know: int64, float64, string, bool,
// nil, []any and map[string]any. An error is for a number that fits into none of them.
func valueOf(text []byte) (any, error) {
	switch text[0] {
	case '"':
		return unquote(text), nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case 'n':
		return nil, nil
	case '{', '[':
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		return plain(value)
	}
	return numberOf(string(text))
}

// plain replaces the numbers within a value.
func plain(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case json.Number:
		return numberOf(v.String())
	case []any:
		for i := range v {
			if v[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = plain(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// numberOf returns a number as int64 or float64.
func numberOf(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	whole := true
	for _, c := range text {
		if c == '.' || c == 'e' || c == 'E' {
			whole = false
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if whole || err != nil {
		return nil, fmt.Errorf("the number %.40s is too large to compare", text)
	}
	return f, nil
}
