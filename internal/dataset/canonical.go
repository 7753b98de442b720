package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"unicode/utf8"
)

// Canonical appends a row to dst with the space between its tokens removed and its strings in one
// spelling: characters as they are, and escapes only where JSON needs them. The order of the
// columns and the text of the numbers stay. Rows of equal content are equal then, whether they came
// as JSON Lines, in an array or over several lines. The row has to be JSON, as Reader returns it.
func Canonical(dst, row []byte) []byte {
	for i := 0; i < len(row); {
		switch c := row[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := textEnd(row, i)
			dst = appendText(dst, row[i:end])
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// rewrite appends JSON to dst without the space between its tokens, or with it if space is true.
// The spelling of the strings stays. NaN and Infinity become null, and nulled says how often.
func rewrite(dst, row []byte, space bool) (out []byte, nulled int) {
	for i := 0; i < len(row); {
		switch c := row[i]; {
		case !space && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			i++
		case c == '"':
			end := textEnd(row, i)
			dst = append(dst, row[i:end]...)
			i = end
		case c == 'N' || c == 'I' || c == '-' && i+1 < len(row) && row[i+1] == 'I':
			dst = append(dst, "null"...)
			nulled++
			for i++; i < len(row) && row[i]|0x20 >= 'a' && row[i]|0x20 <= 'z'; i++ {
			}
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, nulled
}

// textEnd returns the index after the string that begins at start, in valid JSON.
func textEnd(row []byte, start int) int {
	i := start + 1
	for {
		for i+8 <= len(row) {
			if found := special(binary.LittleEndian.Uint64(row[i:])); found != 0 {
				i += firstOf(found)
				break
			}
			i += 8
		}
		for ; i < len(row); i++ {
			if c := row[i]; c == '"' {
				return i + 1
			} else if c == '\\' {
				i += 2
				break
			} else if c < utf8.RuneSelf {
				i++
				break
			}
		}
		if i >= len(row) {
			return len(row)
		}
	}
}

// appendText appends a string, which is in quotes as JSON writes it, in its one spelling.
func appendText(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		n := 0
		dst, n = appendEscape(dst, text[i:])
		text = text[i+n:]
	}
}

// appendEscape appends the escape at the beginning of text in its one spelling, and returns how
// long it was.
func appendEscape(dst, text []byte) ([]byte, int) {
	switch c := text[1]; c {
	case '/':
		return append(dst, '/'), 2
	case 'u':
	default: // the short ones are the one spelling of what they stand for
		return append(dst, '\\', c), 2
	}
	unit, n := hex4(text[2:])
	if n < 4 {
		return append(dst, text[:2]...), 2
	}
	if unit >= 0xd800 && unit <= 0xdbff && len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
		if low, n := hex4(text[8:]); n == 4 && low >= 0xdc00 && low <= 0xdfff {
			return utf8.AppendRune(dst, rune(0x10000+(unit-0xd800)<<10+(low-0xdc00))), 12
		}
	}
	if unit >= 0xd800 && unit <= 0xdfff { // half a character has no other spelling
		return appendUnit(dst, unit), 6
	}
	return appendCharacter(dst, rune(unit)), 6
}

// appendCharacter appends a character of a string, escaped only where JSON needs it.
func appendCharacter(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r >= ' ':
		return utf8.AppendRune(dst, r)
	}
	switch r {
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return appendUnit(dst, int(r))
}

func appendUnit(dst []byte, unit int) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// A Digest is a hash over rows in their canonical form, in order: rows of equal content have equal
// digests, in whatever form of JSON they came and however they were packed.
type Digest struct {
	sum hash.Hash
	row []byte
}

// NewDigest returns the digest of no rows.
func NewDigest() *Digest { return &Digest{sum: sha256.New()} }

// Add adds a row, as Reader returns it.
func (d *Digest) Add(row []byte) {
	d.row = append(Canonical(d.row[:0], row), '\n')
	d.sum.Write(d.row)
}

// String returns the digest of the rows so far, in hexadecimal.
func (d *Digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }
