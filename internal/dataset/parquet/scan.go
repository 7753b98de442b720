package parquet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner walks over JSON that is known to be valid, so it checks nothing. Over anything else it
// panics, or sees other values; it always ends.
type scanner struct {
	data []byte
	pos  int
}

// scanRow returns a scanner of a row, or an error if that is no JSON object.
func scanRow(row []byte) (scanner, error) {
	s := scanner{data: row}
	if !json.Valid(row) || s.kind() != '{' {
		return s, fmt.Errorf("the row %.100q is no JSON object", row)
	}
	return s, nil
}

func (s *scanner) space() {
	for s.pos < len(s.data) && s.data[s.pos] <= ' ' {
		s.pos++
	}
}

// kind returns the first byte of the next value, which says what it is.
func (s *scanner) kind() byte {
	s.space()
	if s.pos == len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// enter goes past the bracket that opens an object or an array.
func (s *scanner) enter() { s.pos++ }

// more reports whether there is a further member or element, and goes past the comma, or past the
// bracket that closes.
func (s *scanner) more() bool {
	s.space()
	switch s.data[s.pos] {
	case '}', ']':
		s.pos++
		return false
	case ',':
		s.pos++
	}
	return true
}

// key returns the name of the next member as it is written, without quotes, and goes to its value.
func (s *scanner) key() []byte {
	s.space()
	key := s.text()
	s.space()
	s.pos++ // the colon
	return key
}

// text returns the next string as it is written, without quotes.
func (s *scanner) text() []byte {
	start := s.pos + 1
	for i := start; ; {
		n := bytes.IndexByte(s.data[i:], '"')
		if n < 0 {
			panic("a string does not end")
		}
		i += n
		escapes := 0
		for s.data[i-1-escapes] == '\\' {
			escapes++
		}
		i++
		if escapes%2 == 0 {
			s.pos = i
			return s.data[start : i-1]
		}
	}
}

// skip returns the next value as it is written.
func (s *scanner) skip() []byte {
	s.space()
	start, depth := s.pos, 0
	for {
		switch s.data[s.pos] {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			depth--
			s.pos++
		case ',', ':', ' ', '\t', '\n', '\r':
			s.pos++
			continue
		default:
			s.scalar()
		}
		if depth == 0 {
			return s.data[start:s.pos]
		}
	}
}

// scalar goes past a number or a literal.
func (s *scanner) scalar() []byte {
	start := s.pos
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ',', '}', ']', ' ', '\t', '\n', '\r', ':':
			return s.data[start:s.pos]
		}
		s.pos++
	}
	return s.data[start:]
}

// appendUnescaped appends what a JSON string means. Half of a surrogate pair and bytes that are no
// UTF-8 become U+FFFD, for Parquet's texts are UTF-8; it reports whether there were any.
func appendUnescaped(dst, s []byte) (out []byte, replaced bool) {
	if bytes.IndexByte(s, '\\') < 0 && utf8.Valid(s) {
		return append(dst, s...), false
	}
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			r, n := utf8.DecodeRune(s[i:])
			replaced = replaced || r == utf8.RuneError && n == 1
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i += 2
		switch c := s[i-1]; c {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r := hexRune(s[i:])
			i += 4
			if utf16.IsSurrogate(r) && i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
				if pair := utf16.DecodeRune(r, hexRune(s[i+2:])); pair != utf8.RuneError {
					r = pair
					i += 6
				}
			}
			replaced = replaced || utf16.IsSurrogate(r)
			dst = utf8.AppendRune(dst, r) // a half is no rune and becomes U+FFFD
		default:
			dst = append(dst, c)
		}
	}
	return dst, replaced
}

// unquoted returns what a JSON string means.
func unquoted(s []byte) string {
	out, _ := appendUnescaped(nil, s)
	return string(out)
}

func hexRune(s []byte) rune {
	var r rune
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c >= 'a':
			c -= 'a' - 10
		default:
			c -= 'A' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
