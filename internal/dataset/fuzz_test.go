package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// FuzzReader compares the reader with encoding/json, line by line, where all lines are rows.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"{\"a\":1}\r\n\n{\"b\":\"\\\\\",\"c\":[{\"d\":{}}]}", "\xef\xbb\xbf{}", "[1]", "{\"a\":1,\"\\u0061\":2}", "{\n\"a\":1}{}", "a,b\n\"1\n\",2\n3", "{\"a\":\n{}\n",
		packed(f, "gzip", "{\"a\":1}\n{"), packed(f, "zstd", "{\"a\":1}\n{\"b\":2}"), "\xff\xfe{\x00}\x00", "[{\"a\":1},\n{\"a\":\"x\n\"},{}]", "{},\n", "{\"a\":NaN}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		rows, bad := drain(t, content)
		if want, all := slowly(content); all && (bad > 0 || !slices.Equal(rows, want)) {
			t.Fatalf("%d bad rows (-encoding/json +reader):\n%s", bad, cmp.Diff(want, rows))
		}
	})
}

// drain reads everything and checks what has to be true of any content.
func drain(t *testing.T, content []byte) (rows []string, bad int) {
	t.Helper()
	r, err := NewReader(strings.NewReader(string(content)), "fuzz")
	if err != nil {
		return nil, 0
	}
	defer r.Close()
	isPacked := bytes.HasPrefix(content, []byte("\x1f\x8b")) || isZstd(content[:min(4, len(content))]) // and holds more than its length
	for last := 0; ; {
		row, err := r.Next()
		var e *pipeline.RowError
		switch {
		case err == nil:
			rows = append(rows, string(row))
			checkRow(t, row)
		case errors.As(err, &e):
			if e.Line < last || e.Problem == "" || e.Kind == "" || !utf8.ValidString(e.Problem) {
				t.Fatalf("line %d after line %d: %q", e.Line, last, e.Problem)
			}
			last = e.Line
			if bad++; bad > len(content)+1 && !isPacked {
				t.Fatalf("%d bad rows in %d bytes", bad, len(content))
			}
			continue
		default:
			return rows, bad
		}
		if r.Line() < last {
			t.Fatalf("line %d after line %d", r.Line(), last)
		}
		last = r.Line()
	}
}

// slowly reads rows the obvious way. It returns false if a line is not one row.
func slowly(content []byte) (rows []string, all bool) {
	for line := range strings.SplitSeq(strings.TrimPrefix(string(content), byteOrderMark), "\n") {
		line = strings.Trim(line, whitespace)
		if line == "" {
			continue
		}
		var columns map[string]json.RawMessage
		if !strings.HasPrefix(line, "{") || strings.Contains(line, "\r") || !utf8.ValidString(line) || json.Unmarshal([]byte(line), &columns) != nil {
			return nil, false
		}
		var s scanner // names that stand twice are compared by another test
		if s.value([]byte(line), true); s.fault != noFault || names(line) != len(columns) {
			return nil, false
		}
		rows = append(rows, line)
	}
	return rows, len(rows) > 0
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

// FuzzForms writes the rows of a text in every form of JSON, and compares what is read.
func FuzzForms(f *testing.F) {
	f.Add([]byte("{\"a\":[1,{\"b\":\"\\u00e9\"}]}\n{\"c\":\"}{][,\\\"\"}\n{}"))
	f.Add([]byte("{\"a\":1e5,\"b\":null}\n{\"\":\"\\ud83d\"}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		rows, complete := slowly(content)
		if !complete {
			return
		}
		pretty := make([]string, len(rows))
		for i, row := range rows {
			var b bytes.Buffer
			if err := json.Indent(&b, []byte(row), "", "  "); err != nil {
				return
			}
			pretty[i] = b.String()
		}
		want := NewDigest()
		for _, row := range rows {
			want.Add([]byte(row))
		}
		array := "[" + strings.Join(rows, ",") + "]"
		for form, text := range map[string]string{
			"lines": strings.Join(rows, "\n"), "glued": strings.Join(rows, ""), "array": array, "pretty": strings.Join(pretty, "\n"),
			"pretty array": "[\n" + strings.Join(pretty, ",\n") + "\n]\n", "UTF-8 with its mark": byteOrderMark + array,
		} {
			got, bad := drain(t, []byte(text))
			digest := NewDigest()
			for _, row := range got {
				digest.Add([]byte(row))
			}
			if bad > 0 || digest.String() != want.String() {
				t.Fatalf("%s: %q was read as %q with %d bad rows", form, text, got, bad)
			}
		}
	})
}

// FuzzPacked compares packed texts with plain ones, and damages them.
func FuzzPacked(f *testing.F) {
	for _, seed := range []string{"{\"a\":1}\n{\"b\":2}\n", "[{\"a\":1},\n{}]", "a,b\n1,2\n", "\xff\xfe{\x00}\x00", strings.Repeat("{\"a\":\"xyz\"}\n", 100)} {
		f.Add([]byte(seed), uint16(10), byte(0))
		f.Add([]byte(seed), uint16(20), byte(0x55))
	}
	f.Fuzz(func(t *testing.T, content []byte, at uint16, change byte) {
		if len(content) == 0 {
			return
		}
		rows, bad := drain(t, content)
		for _, format := range []string{"gzip", "zstd"} {
			data := []byte(packed(t, format, string(content)))
			if got, gotBad := drain(t, data); !slices.Equal(rows, got) || bad != gotBad {
				t.Fatalf("%s of %q: %q and %d bad ones, want %q and %d", format, content, got, gotBad, rows, bad)
			}
			i := int(at) % len(data)
			drain(t, data[:i])
			data[i] ^= change
			drain(t, data)
		}
	})
}
