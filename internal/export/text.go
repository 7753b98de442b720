package export

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"gleaner/internal/pipeline"
)

const hexDigits = "0123456789abcdef"

// appendText appends a text as JSON. The characters at which some readers end a line (U+0085,
// U+2028 and U+2029) are escaped, and invalid UTF-8 becomes U+FFFD.
func appendText(dst []byte, text string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := plainUntil(text, 0); i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				dst = appendEscape(append(dst, text[from:i]...), c)
				from = i + 1
			}
			i = plainUntil(text, i+1)
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || r == 0x85 || r == 0x2028 || r == 0x2029 {
			dst = append(dst, text[from:i]...)
			dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			from = i + size
		}
		i += size
	}
	return append(append(dst, text[from:]...), '"')
}

// plainUntil skips characters that a JSON string has as they are, eight at a time. What it returns
// is at or in front of the first that may not be one.
func plainUntil(text string, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		eight := uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
			uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
		quote, backslash := eight^'"'*ones, eight^'\\'*ones
		if (eight|(eight-' '*ones)|(quote-ones)&^quote|(backslash-ones)&^backslash)&highs != 0 {
			break
		}
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// encode returns a value as JSON, with the same characters escaped as by appendText.
func encode(v any) ([]byte, error) {
	data, err := pipeline.Encode(v)
	if err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(data, []byte("\u0085"), []byte(`\u0085`)), nil // in JSON only a string holds it
}

// wholePairs returns JSON in which each half of a surrogate pair that stands alone is \ufffd, since
// no loader reads such a text, and whether there was one. What it returns may share memory with
// what it got.
func wholePairs(data []byte) ([]byte, bool) {
	if !bytes.Contains(data, []byte(`\ud`)) && !bytes.Contains(data, []byte(`\uD`)) {
		return data, false
	}
	out, from, broken := []byte(nil), 0, false
	for i := 0; i < len(data); {
		switch {
		case data[i] != '\\':
			i++
			continue
		case i+1 < len(data) && data[i+1] != 'u':
			i += 2
			continue
		}
		first := escaped(data, i)
		if !utf16.IsSurrogate(first) {
			i += 6
			continue
		}
		if utf16.DecodeRune(first, escaped(data, i+6)) != utf8.RuneError {
			i += 12
			continue
		}
		out = append(append(out, data[from:i]...), `\ufffd`...)
		i += 6
		from, broken = i, true
	}
	if !broken {
		return data, false
	}
	return append(out, data[min(from, len(data)):]...), true
}

// escaped returns the code unit of an escape \uXXXX at i, or -1 if there is none.
func escaped(data []byte, i int) rune {
	if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(data[i+2:i+6]), 16, 32)
	if err != nil {
		return -1
	}
	return rune(unit)
}

// oneLine returns JSON without line ends, which stand between its tokens only. What it returns may
// share memory with what it got.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, data)
}

// oneSafeLine is oneLine for what does not come from a row: the characters at which some readers
// end a line are escaped, too, and so is half a surrogate pair.
func oneSafeLine(data []byte) []byte {
	for _, end := range []rune{0x85, 0x2028, 0x2029} {
		data = bytes.ReplaceAll(data, []byte(string(end)), []byte{'\\', 'u', hexDigits[end>>12&15], hexDigits[end>>8&15], hexDigits[end>>4&15], hexDigits[end&15]})
	}
	data, _ = wholePairs(oneLine(data))
	return data
}

// appendUnquoted appends the value of a JSON string.
func appendUnquoted(dst, quoted []byte) []byte {
	text := quoted[1 : len(quoted)-1]
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		text = text[i:]
		if text[1] != 'u' {
			dst = append(dst, unescaped(text[1]))
			text = text[2:]
			continue
		}
		r, size := escaped(text, 0), 6
		if utf16.IsSurrogate(r) {
			if r = utf16.DecodeRune(r, escaped(text, 6)); r != utf8.RuneError {
				size = 12
			}
		}
		dst = utf8.AppendRune(dst, r)
		text = text[size:]
	}
}

// unescaped returns the character that stands after a backslash for another one.
func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return c
}
