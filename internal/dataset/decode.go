package dataset

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

const byteOrderMark = "\xef\xbb\xbf"

// encodingOf returns the encoding that a user named; nil is UTF-8.
func encodingOf(name string) (encoding.Encoding, error) {
	short := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	switch short {
	case "", "utf8", "utf8sig", "unicode11utf8", "ascii", "usascii":
		return nil, nil
	case "utf16", "utf16le", "ucs2":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), nil
	case "utf16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), nil
	case "utf32", "utf32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM), nil
	case "utf32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), nil
	case "latin1", "iso88591":
		return charmap.Windows1252, nil // which everybody means, and which has the same letters
	case "cp437":
		return charmap.CodePage437, nil
	case "cp850":
		return charmap.CodePage850, nil
	case "cp852":
		return charmap.CodePage852, nil
	case "macroman":
		return charmap.Macintosh, nil
	case "cp932", "mskanji":
		name = "shift_jis"
	case "cp936":
		name = "gbk"
	case "cp949":
		name = "euc-kr"
	case "cp950":
		name = "big5"
	}
	for _, label := range []string{strings.ToLower(name), short, strings.ReplaceAll(strings.ToLower(name), "_", "-")} {
		if found, err := htmlindex.Get(label); err == nil {
			return found, nil
		}
	}
	return nil, wrong("encoding", "%q is not known: name one like utf-8, utf-16, cp1252, latin-1, iso-8859-2, shift_jis, gb18030", name)
}

// A textForm says how the bytes of a text are read.
type textForm struct {
	encoding encoding.Encoding // nil is UTF-8
	skip     int               // bytes of the mark at the beginning
	legacy   bool              // what a byte does not mean becomes U+FFFD
}

// formOf returns how a text that begins with head is read. A mark at its beginning decides, then
// what the user named. An error is for a text that is in UTF-16 or UTF-32 without a sign of it.
func formOf(head []byte, named encoding.Encoding) (textForm, error) {
	for _, m := range []struct {
		mark     string
		encoding encoding.Encoding
	}{
		{byteOrderMark, nil},
		{"\xff\xfe\x00\x00", utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)},
		{"\x00\x00\xfe\xff", utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)},
		{"\xff\xfe", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)},
		{"\xfe\xff", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)},
	} {
		if bytes.HasPrefix(head, []byte(m.mark)) {
			return textForm{encoding: m.encoding, skip: len(m.mark)}, nil
		}
	}
	if named != nil {
		_, single := named.(*charmap.Charmap)
		return textForm{encoding: named, legacy: single}, nil
	}
	if guess := wide(head); guess != "" {
		return textForm{}, fmt.Errorf("is in %s without a mark that says so: add --encoding %s", strings.ToUpper(guess), guess)
	}
	return textForm{}, nil
}

// wide returns the name of the encoding in which every character of a text takes two or four bytes,
// if its beginning looks so.
func wide(head []byte) string {
	head = head[:min(len(head), 400)&^3]
	if len(head) < 4 {
		return ""
	}
	var zeros [4]int
	for i, c := range head {
		if c == 0 {
			zeros[i%4]++
		}
	}
	all := len(head) / 4
	most := func(n int) bool { return 10*n >= 7*all }
	few := func(n int) bool { return 10*n <= all }
	switch {
	case few(zeros[0]) && most(zeros[1]) && most(zeros[2]) && most(zeros[3]):
		return "utf-32le"
	case most(zeros[0]) && most(zeros[1]) && most(zeros[2]) && few(zeros[3]):
		return "utf-32be"
	case few(zeros[0]) && most(zeros[1]) && few(zeros[2]) && most(zeros[3]):
		return "utf-16le"
	case most(zeros[0]) && few(zeros[1]) && most(zeros[2]) && few(zeros[3]):
		return "utf-16be"
	}
	return ""
}
