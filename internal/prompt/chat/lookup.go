package chat

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Lookup returns a value of a row, which is one JSON object, as it stands there, and whether there
// is one. The path is the name of a column, or names with dots between them that lead into objects,
// and numbers from 0 that lead into lists: "turns.0.text". A name with dots in it is found before
// the path of the same spelling. Of two columns of one name the last one counts, as it does
// everywhere in Go. The error says that the row is broken.
func Lookup(row []byte, path string) (json.RawMessage, bool, error) {
	i := skipSpace(row, 0)
	if i >= len(row) || row[i] != '{' {
		return nil, false, errors.New("the row is not a JSON object")
	}
	value, err := find(row[i:], path)
	return value, value != nil, err
}

// A hit is a member whose key is a whole path or the beginning of one.
type hit struct {
	length int // of the key
	value  []byte
}

// find returns what a path leads to, or nil.
func find(value []byte, path string) (json.RawMessage, error) {
	switch value[0] {
	case '[':
		return findElement(value, path)
	case '{':
	default:
		return nil, nil
	}
	var room [4]hit
	hits := room[:0]
	err := eachPair(value, func(key, value []byte) error {
		n := len(key)
		if n > len(path) || path[:n] != string(key) || n < len(path) && path[n] != '.' {
			return nil
		}
		if i := slices.IndexFunc(hits, func(h hit) bool { return h.length == n }); i >= 0 {
			hits[i].value = value
		} else {
			hits = append(hits, hit{n, value})
		}
		return nil
	})
	if err != nil || len(hits) == 0 {
		return nil, err
	}
	if len(hits) > 1 {
		slices.SortFunc(hits, func(a, b hit) int { return cmp.Compare(b.length, a.length) })
	}
	for _, h := range hits {
		if h.length == len(path) {
			return h.value, nil
		}
		if found, err := find(h.value, path[h.length+1:]); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// findElement returns what a path leads to that begins with the number of an element, or nil.
func findElement(list []byte, path string) (found json.RawMessage, err error) {
	number, rest, more := strings.Cut(path, ".")
	wanted, err := strconv.Atoi(number)
	if err != nil || wanted < 0 || strconv.Itoa(wanted) != number {
		return nil, nil
	}
	err = eachElement(list, func(i int, value []byte) error {
		if i < wanted {
			return nil
		}
		found = value
		return errDone
	})
	if err != nil && !errors.Is(err, errDone) {
		return nil, err
	}
	if found == nil || !more {
		return found, nil
	}
	return find(found, rest)
}

// A NotTextError says what a value is that is no text.
type NotTextError struct {
	Kind  string   // "null", "list" or "object"
	Names []string // of an object: its first keys
	Len   int      // elements of a list, or keys of an object
}

// Error returns what the value is, as the end of a sentence about a column.
func (e *NotTextError) Error() string {
	switch e.Kind {
	case "list":
		return fmt.Sprintf("is a list of %d, not text", e.Len)
	case "object":
		names := strings.Join(e.Names, ", ")
		if e.Len > len(e.Names) {
			names += ", …"
		}
		return fmt.Sprintf("is an object with %s, not text", cmp.Or(names, "nothing in it"))
	}
	return "is null"
}

// Text returns a text, or a number or true or false as it came. An escape that is half of a
// character (a lone surrogate) becomes U+FFFD. Of other values the error is a *NotTextError.
func Text(value json.RawMessage) (string, error) {
	value = bytes.Trim(value, whitespace)
	if len(value) == 0 {
		return "", errors.New("is not JSON")
	}
	switch value[0] {
	case '"':
		if plain(value) {
			return string(value[1 : len(value)-1]), nil
		}
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return "", fmt.Errorf("is not JSON: %w", err)
		}
		return text, nil
	case '[', '{':
		return "", notText(value)
	}
	switch {
	case !json.Valid(value):
		return "", errors.New("is not JSON")
	case value[0] == 'n':
		return "", &NotTextError{Kind: "null"}
	}
	return string(value), nil
}

// notText describes a list or an object.
func notText(value []byte) error {
	e := &NotTextError{Kind: "list"}
	if value[0] == '{' {
		e.Kind = "object"
		if err := eachMember(value, func(key string, _ []byte) error {
			if e.Len++; e.Len <= 8 {
				e.Names = append(e.Names, key)
			}
			return nil
		}); err != nil {
			return err
		}
		return e
	}
	if err := eachElement(value, func(int, []byte) error { e.Len++; return nil }); err != nil {
		return err
	}
	return e
}
