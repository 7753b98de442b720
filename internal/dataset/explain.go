package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"gleaner/internal/pipeline"
)

const (
	byteOrderMark = "\xef\xbb\xbf"
	sniffLen      = 512 // bytes from the beginning in which other formats have their marks
)

// Advice that more than one message gives.
const (
	howArray  = "this is a JSON array, not JSON Lines: convert it with: jq -c '.[]' FILE > rows.jsonl"
	howPretty = "every row must be one JSON object on one line: if the file holds objects over several lines, convert it with: jq -c . FILE > rows.jsonl"
	howCSV    = "this is not JSON: every line must be one JSON object; a table (CSV) has to be converted to JSON Lines first"
)

// foreign recognizes formats other than JSON Lines by the first bytes of a file. It returns what
// the file is and what to do about it, or nothing.
func foreign(head []byte) string {
	for _, f := range []struct {
		at         int
		mark, what string
	}{
		{0, "PAR1", "is a Parquet file, not JSON Lines: convert it first"},
		{0, "ARROW1", "is an Arrow file, not JSON Lines: convert it first"},
		{0, "SQLite format 3", "is a SQLite database, not JSON Lines: export its rows first"},
		{0, "PK\x03\x04", "is a zip archive: unpack it and name the file in it"},
		{0, "BZh", "is compressed with bzip2, which is not supported: unpack it, or use gzip or zstd"},
		{0, "\xfd7zXZ", "is compressed with xz, which is not supported: unpack it, or use gzip or zstd"},
		{0, "\x1f\x8b", "is compressed twice: unpack it once"},
		{0, "\x28\xb5\x2f\xfd", "is compressed twice: unpack it once"},
		{0, "\xff\xfe", "is in UTF-16: convert it with: iconv -f UTF-16 -t UTF-8 FILE > rows.jsonl"},
		{0, "\xfe\xff", "is in UTF-16: convert it with: iconv -f UTF-16 -t UTF-8 FILE > rows.jsonl"},
		{257, "ustar", "is a tar archive: unpack it and name the file in it"},
	} {
		if len(head) > f.at && bytes.HasPrefix(head[f.at:], []byte(f.mark)) {
			return f.what
		}
	}
	return ""
}

// explain says what is wrong with a row that scan refused. First is true for the first line of a
// dataset, and whole for a line that ends with a line feed.
func explain(row []byte, first, whole bool) string {
	switch {
	case len(row) == 0:
		return "is empty"
	case bytes.IndexByte(row, 0) >= 0:
		return fmt.Sprintf("has a NUL byte at column %d: the file is damaged, or no text in UTF-8", bytes.IndexByte(row, 0)+1)
	case !utf8.Valid(row):
		return fmt.Sprintf("is not valid UTF-8 at column %d: convert the file to UTF-8", invalidAt(row)+1)
	case row[0] == '[' && first:
		return howArray
	case row[0] != '{' && json.Valid(row):
		return fmt.Sprintf("is %s, not a JSON object: %s", kindOf(row[0]), howPretty)
	case row[0] != '{' && first:
		return fmt.Sprintf("begins with %s: %s", excerpt(row), howCSV)
	case row[0] != '{':
		return fmt.Sprintf("begins with %s, not with {: %s", excerpt(row), howPretty)
	}
	return syntax(row, whole)
}

// syntax says at which column a row stops being JSON.
func syntax(row []byte, whole bool) string {
	var raw json.RawMessage
	err := json.Unmarshal(row, &raw)
	var bad *json.SyntaxError
	switch {
	case err == nil:
		return "is not one JSON object"
	case !errors.As(err, &bad):
		return "is not JSON: " + err.Error()
	case bad.Offset >= int64(len(row)) && strings.HasPrefix(bad.Error(), "unexpected end") && !whole:
		return "the JSON object is cut off at the end of the file: fetch or write the file again"
	case bad.Offset >= int64(len(row)) && strings.HasPrefix(bad.Error(), "unexpected end"):
		return "the JSON object does not end on its line: " + howPretty
	}
	return fmt.Sprintf("is not JSON at column %d: %s", bad.Offset, strings.TrimPrefix(bad.Error(), "json: "))
}

// tooLong says that a line exceeds the limit of a row, and what the reason may be.
func tooLong(first bool, begin []byte) string {
	begin = bytes.TrimLeft(begin, whitespace)
	if first && len(begin) > 0 && begin[0] == '[' {
		return howArray
	}
	return fmt.Sprintf("is longer than %d MiB, the limit of a row: shorten it or leave it out", pipeline.MaxRowBytes>>20)
}

func kindOf(b byte) string {
	switch b {
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// excerpt quotes the beginning of a row.
func excerpt(row []byte) string {
	const most = 40
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
