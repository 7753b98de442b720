package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// The functions of this file walk through JSON without decoding it. They take it as it is: what is
// broken inside of a value that is skipped is not found. They never read beyond the end.

const whitespace = " \t\r\n"

var (
	errBroken = errors.New("it is not JSON")
	errDone   = errors.New("done") // ends a walk
)

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index behind the text that begins at i, or -1.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		slashes := 0
		for slashes < n && b[i+n-1-slashes] == '\\' {
			slashes++
		}
		if i += n; slashes%2 == 0 {
			return i + 1
		}
	}
}

// skipValue returns the index behind the value that begins at i, or -1.
func skipValue(b []byte, i int) int {
	start, depth := i, 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 || depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return endOf(start, i)
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return endOf(start, i)
			}
		}
		i++
	}
	if depth > 0 {
		return -1
	}
	return endOf(start, i)
}

// endOf returns the end of a number or a word, or -1 if there is none.
func endOf(start, end int) int {
	if end == start {
		return -1
	}
	return end
}

// eachMember calls do with the members of an object, in order. The keys are decoded.
func eachMember(object []byte, do func(key string, value []byte) error) error {
	return eachPair(object, func(key, value []byte) error { return do(string(key), value) })
}

// eachPair does the same with keys that are part of the object, where they stand there as they are.
func eachPair(object []byte, do func(key, value []byte) error) error {
	i := skipSpace(object, 1)
	if i < len(object) && object[i] == '}' {
		return nil
	}
	for i < len(object) && object[i] == '"' {
		end := skipString(object, i)
		if end < 0 {
			return errBroken
		}
		key, err := unquoted(object[i:end])
		if err != nil {
			return err
		}
		if i = skipSpace(object, end); i >= len(object) || object[i] != ':' {
			return errBroken
		}
		i = skipSpace(object, i+1)
		if end = skipValue(object, i); end < 0 {
			return errBroken
		}
		if err := do(key, object[i:end:end]); err != nil {
			return err
		}
		switch i = skipSpace(object, end); {
		case i < len(object) && object[i] == '}':
			return nil
		case i >= len(object) || object[i] != ',':
			return errBroken
		}
		i = skipSpace(object, i+1)
	}
	return errBroken
}

// eachElement calls do with the elements of a list, in order.
func eachElement(list []byte, do func(i int, value []byte) error) error {
	i := skipSpace(list, 1)
	if i < len(list) && list[i] == ']' {
		return nil
	}
	for n := 0; i < len(list); n++ {
		end := skipValue(list, i)
		if end < 0 {
			return errBroken
		}
		if err := do(n, list[i:end:end]); err != nil {
			return err
		}
		switch i = skipSpace(list, end); {
		case i < len(list) && list[i] == ']':
			return nil
		case i >= len(list) || list[i] != ',':
			return errBroken
		}
		i = skipSpace(list, i+1)
	}
	return errBroken
}

// plain reports whether a text in quotes stands there as it is.
func plain(quoted []byte) bool {
	if len(quoted) < 2 || quoted[len(quoted)-1] != '"' {
		return false
	}
	ascii := true
	for _, c := range quoted[1 : len(quoted)-1] {
		if c == '\\' || c == '"' || c < ' ' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(quoted)
}

func unquoted(quoted []byte) ([]byte, error) {
	if plain(quoted) {
		return quoted[1 : len(quoted)-1], nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return nil, errBroken
	}
	return []byte(text), nil
}

func isNull(value []byte) bool { return string(value) == "null" }
