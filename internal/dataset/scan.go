package dataset

import (
	"bytes"
	"math/bits"
)

// maxNesting is how deep lists and objects of a row may stand in each other. What reads a row later
// calls itself for each level.
const maxNesting = 512

// A result says how far the scanner came with a value.
type result uint8

// The results of a scan.
const (
	complete   result = iota // the value ended, though it may have a fault that does not hide its end
	unfinished               // the data ended before the value did
	broken                   // where the value ends cannot be said
)

// A fault is what is wrong with a value.
type fault uint8

// The faults. Those of the second group let the scanner go on to the end of the value.
const (
	noFault       fault = iota
	badToken            // what stands here is no value
	noName              // a name in double quotes is missing
	noColon             // after a name
	noComma             // between two elements or before the closing bracket
	trailingComma       // before a closing bracket
	lineInText          // a line ends within a string
	tooDeep
	wrongBracket

	nameTwice
	invalidUTF8
	nulByte
	controlByte // in a string, where it has to be escaped
	badEscape
	notFinite // NaN or Infinity
)

// A span is a part of the data.
type span struct{ start, end int32 }

// A level is a list or an object that is open.
type level struct {
	object  bool
	escaped bool  // one of its names is written with an escape
	first   int32 // the index in names of its first name
}

// A scanner checks JSON and finds where a value ends. What encoding/json accepts it accepts, but
// for text that is not UTF-8, a name that stands twice in an object, and too deep nesting. It is
// used again for each value.
type scanner struct {
	data []byte
	i    int
	last bool // nothing follows the data

	levels []level
	names  []span // of all open objects, in quotes

	// Of the value that was scanned last.
	fault      fault
	at         int  // where the fault is
	lines      bool // a line ends between two tokens
	finite     bool // there is no NaN and no Infinity
	loneHalves int  // of characters outside of the basic plane, which no text can hold
}

// value scans the value that begins at the first byte of data, and returns the index after it. Last
// is true if nothing follows the data.
func (s *scanner) value(data []byte, last bool) (int, result) {
	s.data, s.i, s.last = data, 0, last
	s.levels, s.names = s.levels[:0], s.names[:0]
	s.fault, s.at, s.lines, s.finite, s.loneHalves = noFault, 0, false, true, 0
	for {
		r, opened := s.begin()
		if r != complete {
			return s.i, r
		}
		if opened {
			continue
		}
		for {
			if len(s.levels) == 0 {
				return s.i, complete
			}
			next, r := s.after()
			if r != complete {
				return s.i, r
			}
			if next {
				break
			}
		}
	}
}

// begin scans a value, or the beginning of a list or an object up to its first element; then opened
// is true.
func (s *scanner) begin() (r result, opened bool) {
	c, ok := s.space()
	if !ok {
		return unfinished, false
	}
	switch c {
	case '"':
		return s.text(), false
	case '{', '[':
		if len(s.levels) >= maxNesting {
			return s.broken(tooDeep), false
		}
		s.levels = append(s.levels, level{object: c == '{', first: int32(len(s.names))})
		s.i++
		next, ok := s.space()
		switch {
		case !ok:
			return unfinished, false
		case c == '{' && next == '}', c == '[' && next == ']':
			return complete, false // after closes it
		case c == '{':
			return s.name(), true
		}
		return complete, true
	case 't':
		return s.literal("true"), false
	case 'f':
		return s.literal("false"), false
	case 'n':
		return s.literal("null"), false
	case 'N':
		return s.infinite("NaN"), false
	case 'I':
		return s.infinite("Infinity"), false
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(), false
	}
	return s.broken(badToken), false
}

// after scans what stands after an element: a comma, with the next name in an object, or the end of
// the list or object. Next is true if an element follows.
func (s *scanner) after() (next bool, r result) {
	c, ok := s.space()
	if !ok {
		return false, unfinished
	}
	l := &s.levels[len(s.levels)-1]
	switch c {
	case ',':
		comma := s.i
		s.i++
		c, ok = s.space()
		switch {
		case !ok:
			return false, unfinished
		case c == '}' || c == ']':
			s.i = comma
			return false, s.broken(trailingComma)
		case l.object:
			return true, s.name()
		}
		return true, complete
	case '}', ']':
		if (c == '}') != l.object {
			return false, s.broken(wrongBracket)
		}
		if l.object {
			s.checkNames(*l)
			s.names = s.names[:l.first]
		}
		s.levels = s.levels[:len(s.levels)-1]
		s.i++
		return false, complete
	}
	return false, s.broken(noComma)
}

// name scans a name and the colon after it.
func (s *scanner) name() result {
	if s.data[s.i] != '"' {
		return s.broken(noName)
	}
	start := s.i
	if r := s.text(); r != complete {
		return r
	}
	s.names = append(s.names, span{int32(start), int32(s.i)})
	if bytes.IndexByte(s.data[start:s.i], '\\') >= 0 {
		s.levels[len(s.levels)-1].escaped = true
	}
	c, ok := s.space()
	switch {
	case !ok:
		return unfinished
	case c != ':':
		return s.broken(noColon)
	}
	s.i++
	return complete
}

// space skips the space between tokens and returns the byte after it.
func (s *scanner) space() (byte, bool) {
	data := s.data
	for i := s.i; i < len(data); i++ {
		switch c := data[i]; c {
		case ' ', '\t':
		case '\n', '\r':
			s.lines = true
		default:
			s.i = i
			return c, true
		}
	}
	s.i = len(data)
	return 0, false
}

// note keeps the first fault of a value.
func (s *scanner) note(f fault, at int) {
	if s.fault == noFault {
		s.fault, s.at = f, at
	}
}

// broken ends a scan. The fault that ends it counts, though others were noted before.
func (s *scanner) broken(f fault) result {
	s.fault, s.at = f, s.i
	return broken
}

// cut is the result where a token goes on to the end of the data.
func (s *scanner) cut() result {
	s.i = len(s.data)
	return unfinished
}

func (s *scanner) literal(word string) result {
	rest := s.data[s.i:]
	for k := range word {
		if k >= len(rest) {
			return s.cut()
		}
		if rest[k] != word[k] {
			return s.broken(badToken)
		}
	}
	s.i += len(word)
	return complete
}

// infinite scans what Python writes for numbers that JSON does not have.
func (s *scanner) infinite(word string) result {
	at := s.i
	if r := s.literal(word); r != complete {
		return r
	}
	s.note(notFinite, at)
	s.finite = false
	return complete
}

// number scans a number. At the end of the data it can only be complete if nothing follows.
func (s *scanner) number() result {
	data, i := s.data, s.i
	if data[i] == '-' {
		i++
		if i < len(data) && data[i] == 'I' {
			s.note(notFinite, s.i)
			s.i = i
			return s.infinite("Infinity")
		}
	}
	start := i
	i = digits(data, i)
	ok := i > start && (data[start] != '0' || i == start+1)
	if ok && i < len(data) && data[i] == '.' {
		start = i + 1
		i = digits(data, start)
		ok = i > start
	}
	if ok && i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		start = i
		i = digits(data, start)
		ok = i > start
	}
	switch {
	case i >= len(data) && (!s.last || !ok):
		return s.cut()
	case !ok:
		return s.broken(badToken)
	}
	s.i = i
	return complete
}

func digits(data []byte, i int) int {
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i
}

// Patterns of eight bytes.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a word whose lowest bit that is set is in the first of eight bytes that a string
// cannot hold as it is or that ends it: a quote, a backslash, a control byte, or one that is not
// ASCII. It returns 0 if there is none.
func special(v uint64) uint64 {
	quote, slash := v^(ones*'"'), v^(ones*'\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (v-ones*0x20)&^v | v) & highs
}

// firstOf returns the index of the first byte that special found.
func firstOf(found uint64) int { return bits.TrailingZeros64(found) / 8 }
