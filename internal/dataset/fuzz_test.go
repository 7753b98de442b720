package dataset

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzReader compares the reader with encoding/json, line by line.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"{\"a\":1}\r\n\n{\"b\":\"\\\\\",\"c\":[{\"d\":{}}]}", "\xef\xbb\xbf{}", "[1]", "{\"a\":1,\"\\u0061\":2}",
		packed(f, "gzip", "{\"a\":1}\n{"), packed(f, "zstd", "{\"a\":1}\n{\"b\":2}"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := NewReader(strings.NewReader(string(content)), "fuzz")
		if err != nil {
			return
		}
		defer r.Close()
		var rows []string
		for last := 0; ; {
			row, err := r.Next()
			var bad *RowError
			switch {
			case err == nil:
				rows = append(rows, string(row))
				checkRow(t, row)
			case errors.As(err, &bad):
				if bad.Line <= last || bad.Problem == "" || !utf8.ValidString(bad.Problem) {
					t.Fatalf("line %d after line %d: %q", bad.Line, last, bad.Problem)
				}
				last = bad.Line
				continue
			case err == io.EOF && r.unpacker == nil:
				if diff := cmp.Diff(slowly(content), rows); diff != "" {
					t.Fatalf("(-encoding/json +reader):\n%s", diff)
				}
				return
			default:
				return
			}
			if r.Line() <= last {
				t.Fatalf("line %d after line %d", r.Line(), last)
			}
			last = r.Line()
		}
	})
}

// slowly reads the rows that are objects with each column once, the obvious way.
func slowly(content []byte) []string {
	var rows []string
	for line := range strings.SplitSeq(strings.TrimPrefix(string(content), byteOrderMark), "\n") {
		line = strings.Trim(line, whitespace)
		var columns map[string]json.RawMessage
		if !strings.HasPrefix(line, "{") || !utf8.ValidString(line) || json.Unmarshal([]byte(line), &columns) != nil {
			continue
		}
		if names(line) == len(columns) {
			rows = append(rows, line)
		}
	}
	return rows
}

// names counts an object's columns by decoding it token by token.
func names(row string) int {
	d := json.NewDecoder(strings.NewReader(row))
	d.UseNumber()
	d.Token()
	n := 0
	for ; d.More(); n++ {
		d.Token()
		var skipped json.RawMessage
		d.Decode(&skipped)
	}
	return n
}

func checkRow(t *testing.T, row []byte) {
	columns, err := Columns(row)
	if err != nil {
		t.Fatalf("columns of %q: %v", row, err)
	}
	longer, err := Append(row, Field{"response", 1})
	if slices.Contains(columns, "response") {
		return
	}
	if err != nil || !json.Valid(longer) {
		t.Fatalf("%q became %q: %v", row, longer, err)
	}
}
