package dataset

import (
	"encoding/binary"
	"unicode/utf8"
)

// text scans the string that begins at the current byte.
func (s *scanner) text() result {
	data := s.data
	i := s.i + 1
	for {
		for i+8 <= len(data) {
			if found := special(binary.LittleEndian.Uint64(data[i:])); found != 0 {
				i += firstOf(found)
				break
			}
			i += 8
		}
		if i >= len(data) {
			return s.cut()
		}
		switch c := data[i]; {
		case c == '"':
			s.i = i + 1
			return complete
		case c == '\\':
			var ok bool
			if i, ok = s.escape(i); !ok {
				return s.cut()
			}
		case c == '\n':
			s.i = i
			return s.broken(lineInText)
		case c == 0:
			s.note(nulByte, i)
			i++
		case c < ' ':
			s.note(controlByte, i)
			i++
		case c < utf8.RuneSelf:
			i++
		default:
			next, ok := s.runes(i)
			if !ok {
				return s.cut()
			}
			i = next
		}
	}
}

// runes scans characters that are not ASCII, and returns the index after them. It returns false if
// the data end within one.
func (s *scanner) runes(i int) (int, bool) {
	data := s.data
	for i < len(data) && data[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			if !s.last && !utf8.FullRune(data[i:]) {
				return i, false
			}
			s.note(invalidUTF8, i)
		}
		i += n
	}
	return i, true
}

// escape scans the escape that begins at i, and returns the index after it. It returns false if the
// data end within it.
func (s *scanner) escape(i int) (int, bool) {
	data := s.data
	if i+1 >= len(data) {
		return i, false
	}
	switch data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, true
	case 'u':
	default:
		s.note(badEscape, i)
		return i + 1, true // what follows may end the line or be no ASCII
	}
	unit, n := hex4(data[i+2:])
	switch {
	case n < 4 && i+2+n >= len(data):
		return i, false
	case n < 4:
		s.note(badEscape, i)
		return i + 2 + n, true
	}
	i += 6
	switch {
	case unit < 0xd800 || unit > 0xdfff:
		return i, true
	case unit >= 0xdc00:
		s.loneHalves++
		return i, true
	}
	// A high half needs its low one.
	if len(data) < i+6 && !s.last && isPrefix(data[i:], `\u`) {
		return i, false
	}
	if isPrefix(data[i:], `\u`) && len(data) >= i+6 {
		if low, n := hex4(data[i+2:]); n == 4 && low >= 0xdc00 && low <= 0xdfff {
			return i + 6, true
		}
	}
	s.loneHalves++
	return i, true
}

// isPrefix reports whether the data begin with the mark, or end within it.
func isPrefix(data []byte, mark string) bool {
	n := min(len(data), len(mark))
	return string(data[:n]) == mark[:n]
}

// hex4 returns the value of four hexadecimal digits, and how many of them there are.
func hex4(data []byte) (value, n int) {
	for ; n < 4 && n < len(data); n++ {
		switch c := data[n]; {
		case c-'0' <= 9:
			value = value<<4 | int(c-'0')
		case (c|0x20)-'a' <= 5:
			value = value<<4 | int((c|0x20)-'a'+10)
		default:
			return value, n
		}
	}
	return value, n
}
