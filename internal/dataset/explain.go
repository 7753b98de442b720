package dataset

import (
	"bytes"
	"cmp"
	"fmt"
	"unicode/utf8"

	"gleaner/internal/pipeline"
)

// whitespace holds the characters that may surround a row.
const whitespace = " \t\r\n"

// howRows says what rows have to look like.
func howRows() string { return "every row must be a JSON object, {…}" }

func noEnd() string {
	return "the JSON object does not end on its line: write it again, or put all of it on one line"
}

// explain returns the kind of a fault that the scanner found in a row at an index, and says in
// plain words what it is and what to do about it. The column is where that stands on its line.
func explain(row []byte, f fault, at, column int) (pipeline.BadKind, string) {
	at = min(at, len(row))
	switch f {
	case invalidUTF8:
		return pipeline.NotUTF8, fmt.Sprintf("is not valid UTF-8 at column %d: name the file's encoding, as in --encoding cp1252, or convert the file to UTF-8", column)
	case nulByte:
		return pipeline.HasNUL, fmt.Sprintf("has a NUL byte at column %d: the file is damaged, or no text in UTF-8", column)
	case nameTwice:
		return pipeline.DuplicateName, fmt.Sprintf("the name %s stands twice in one object, and one of the values would be lost: rename or remove one", excerpt([]byte(unquote(row[at:min(textEnd(row, at), len(row))]))))
	case notFinite:
		return pipeline.NotANumber, fmt.Sprintf("has %s at column %d, which JSON does not know: --nan null reads it as null", word(row[at:]), column)
	case tooDeep:
		return pipeline.TooDeep, fmt.Sprintf("has more than %d lists and objects in each other: flatten it or leave it out", maxNesting)
	}
	return syntax(row, f, at, column)
}

// syntax explains what is not JSON.
func syntax(row []byte, f fault, at, column int) (pipeline.BadKind, string) {
	rest := row[at:]
	where := fmt.Sprintf("is not JSON at column %d: ", column)
	switch {
	case at == 0 && bytes.IndexByte(firstLine(row), 0) >= 0:
		return pipeline.HasNUL, fmt.Sprintf("has a NUL byte at column %d: the file is damaged, or no text in UTF-8", bytes.IndexByte(row, 0)+1)
	case at == 0 && !utf8.Valid(firstLine(row)):
		return pipeline.NotUTF8, fmt.Sprintf("begins with %s, which is not valid UTF-8: name the file's encoding, as in --encoding cp1252", excerpt(firstLine(row)))
	case at == 0:
		return pipeline.NotJSON, fmt.Sprintf("begins with %s, not with {: %s", excerpt(firstLine(row)), howRows())
	case isPython(rest):
		return pipeline.NotJSON, where + "this is how Python shows values, and JSON needs double quotes, true, false and null: " + fromPython()
	case f == trailingComma:
		return pipeline.NotJSON, where + "a comma stands before the closing bracket: " + withoutCommas()
	case f == lineInText:
		return pipeline.NotJSON, where + `the line ends within a string: write a line break in a string as \n`
	case f == controlByte:
		return pipeline.NotJSON, where + fmt.Sprintf("a string holds the control character %q: write it as an escape, a tab as \\t", rest[:min(1, len(rest))])
	case f == badEscape:
		return pipeline.NotJSON, where + fmt.Sprintf("%s is no escape: write a backslash in a string as \\\\", excerpt(rest[:min(2, len(rest))]))
	case f == noName:
		return pipeline.NotJSON, where + fmt.Sprintf("a name in double quotes has to stand here, not %s", excerpt(firstLine(rest)))
	case f == noColon:
		return pipeline.NotJSON, where + fmt.Sprintf("a colon has to stand after the name, not %s", excerpt(firstLine(rest)))
	case f == noComma:
		return pipeline.NotJSON, where + fmt.Sprintf("a comma or a closing bracket has to stand here, not %s", excerpt(firstLine(rest)))
	case f == wrongBracket:
		return pipeline.NotJSON, where + "a list ends with ] and an object with }"
	}
	return pipeline.NotJSON, where + fmt.Sprintf("a value has to stand here, not %s", excerpt(firstLine(rest)))
}

// isPython reports whether what stands where JSON was expected is how Python writes it.
func isPython(rest []byte) bool {
	for _, mark := range []string{"'", "None", "True", "False", "nan", "inf", "array(", "datetime", "Decimal("} {
		if bytes.HasPrefix(rest, []byte(mark)) {
			return true
		}
	}
	return false
}

// tooLong says that a row exceeds the limit, and what the reason may be.
func tooLong(row []byte) string {
	return fmt.Sprintf("is longer than %d MiB, the limit of a row: %s", pipeline.MaxRowBytes>>20, cmp.Or(hintOf(row), "shorten it or leave it out"))
}

func kindOf(b byte) string {
	switch b {
	case '[':
		return "an array"
	case '{':
		return "an object"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// word returns the letters at the beginning of a row, with a sign.
func word(row []byte) string {
	n := 0
	for n < len(row) && n < 20 && (row[n] == '-' || row[n]|0x20 >= 'a' && row[n]|0x20 <= 'z') {
		n++
	}
	return string(row[:n])
}

// firstLine returns the data up to the end of their first line.
func firstLine(data []byte) []byte {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return data[:i]
	}
	return data
}

// excerpt quotes the beginning of a row.
func excerpt(row []byte) string {
	const most = 40
	row = bytes.TrimRight(row, "\r\n")
	if len(row) <= most {
		return fmt.Sprintf("%q", row)
	}
	return fmt.Sprintf("%q…", bytes.ToValidUTF8(row[:most], nil))
}

// invalidAt returns the index of the first byte that is not valid UTF-8.
func invalidAt(row []byte) int {
	for i := 0; i < len(row); {
		r, n := utf8.DecodeRune(row[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(row)
}
