package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"gleaner/internal/pipeline"
)

// readAll returns all rows and the error that ended reading, nil for the end.
func readAll(r *Reader) ([]string, error) {
	var rows []string
	for {
		row, err := r.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, string(row))
	}
}

func readString(t testing.TB, content string) ([]string, error) {
	t.Helper()
	r, err := NewReader(strings.NewReader(content), "rows.jsonl")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r)
}

func packed(t testing.TB, format, content string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch format {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRowsArriveAsTheyStand(t *testing.T) {
	long := fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", bufferSize+10))
	longest := fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", pipeline.MaxRowBytes-len(`{"text":""}`)))
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"nothing", "", nil},
		{"blank lines only", "\n \r\n\t\n", nil},
		{"two rows", "{\"a\":1}\n{\"b\": 2.50 }\n", []string{`{"a":1}`, `{"b": 2.50 }`}},
		{"last line without its end", "{\"a\":1}\n{\"b\":2}", []string{`{"a":1}`, `{"b":2}`}},
		{"CRLF", "{\"a\":1}\r\n\r\n{\"b\":2}\r\n", []string{`{"a":1}`, `{"b":2}`}},
		{"byte order mark", "\xef\xbb\xbf{\"a\":1}\n", []string{`{"a":1}`}},
		{"whitespace around", "  {\"a\":1}\t \n", []string{`{"a":1}`}},
		{"order, numbers and spelling", "{\"z\":1e400,\"a\":\"\\u00e9é\\/\",\"m\":12345678901234567890}\n",
			[]string{`{"z":1e400,"a":"\u00e9é\/","m":12345678901234567890}`}},
		{"same name deeper down", "{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]}}\n", []string{`{"a":{"a":[{"a":1},{"a":2}]}}`}},
		{"no columns", "{}\n{ }\n", []string{`{}`, `{ }`}},
		{"longer than the buffer", long + "\n" + long, []string{long, long}},
		{"as long as allowed", longest + "\r\n{}\n", []string{longest, `{}`}},
	} {
		for _, format := range []string{"plain", "gzip", "zstd"} {
			t.Run(c.name+"/"+format, func(t *testing.T) {
				content := c.content
				if format != "plain" {
					content = packed(t, format, content)
				}
				rows, err := readString(t, content)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, rows); diff != "" {
					t.Errorf("rows (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestBadRowsAreExplained(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"cut off", "{\"a\":1}\n{\"a\":", "line 2: the JSON object is cut off at the end of the file: fetch or write the file again"},
		{"over several lines", "{\n \"a\":1\n}\n", "line 1: the JSON object does not end on its line: every row must"},
		{"bad syntax", "\n{\"a\":1}\n{\"a\":1,}\n", "line 3: is not JSON at column 8: invalid character '}' looking for beginning of object key string"},
		{"two objects", `{"a":1}{"a":2}`, "line 1: is not JSON at column 8: invalid character '{' after top-level value"},
		{"single quotes", `{'a':1}`, "line 1: is not JSON at column 2: invalid character '\\''"},
		{"array file", "[{\"a\":1},\n{\"a\":2}]\n", "line 1: this is a JSON array, not JSON Lines: convert it with: jq -c '.[]' FILE > rows.jsonl"},
		{"array as a row", "{}\n[1,2]\n", "line 2: is an array, not a JSON object"},
		{"string", `"a"`, `line 1: is a string, not a JSON object`},
		{"number", `12`, `line 1: is a number, not a JSON object`},
		{"null", `null`, `line 1: is null, not a JSON object`},
		{"true", `true`, `line 1: is true or false, not a JSON object`},
		{"CSV", "question,answer\n1,2\n", `line 1: begins with "question,answer": this is not JSON: every line must be one JSON object; a table (CSV)`},
		{"text later", "{}\nhello\n", `line 2: begins with "hello", not with {: every row must`},
		{"invalid UTF-8", "{\"a\":\"\xff\"}\n", "line 1: is not valid UTF-8 at column 7: convert the file to UTF-8"},
		{"NUL bytes", "{\"a\":1}\n\x00\x00\x00\n", "line 2: has a NUL byte at column 1: the file is damaged"},
		{"column twice", `{"a":1,"b":2,"a":3}`, `line 1: the column "a" stands there twice, and one of them would be lost: rename or remove one`},
		{"column twice, spelled differently", `{"a<":1,"\u0061\u003c":3}`, `line 1: the column "a<" stands there twice`},
		{"too long", "{}\n{\"a\":\"" + strings.Repeat("x", pipeline.MaxRowBytes), "line 2: is longer than 4 MiB, the limit of a row: shorten it or leave it out"},
		{"one byte too long", "{}\n{\"a\":\"" + strings.Repeat("x", pipeline.MaxRowBytes-7) + "\"}\n", "line 2: is longer than 4 MiB"},
		{"whitespace without end", strings.Repeat(" ", 2*pipeline.MaxRowBytes), "line 1: is longer than 4 MiB"},
		{"array on one long line", "[" + strings.Repeat("1,", pipeline.MaxRowBytes) + "1]", "line 1: this is a JSON array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readString(t, c.content)
			var bad *RowError
			if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), "rows.jsonl, "+c.want) {
				t.Errorf("error %v\n want a row error: rows.jsonl, %s", err, c.want)
			}
		})
	}
}

func TestOtherFormatsAreNamed(t *testing.T) {
	tar := strings.Repeat("\x00", 257) + "ustar\x0000"
	for _, c := range []struct{ name, content, want string }{
		{"Parquet", "PAR1\x15\x04", "dataset rows.jsonl is a Parquet file, not JSON Lines: convert it first"},
		{"zip", "PK\x03\x04\n", "dataset rows.jsonl is a zip archive: unpack it and name the file in it"},
		{"xz", "\xfd7zXZ\x00", "dataset rows.jsonl is compressed with xz, which is not supported: unpack it, or use gzip or zstd"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "dataset rows.jsonl is in UTF-16: convert it with: iconv -f UTF-16 -t UTF-8 FILE > rows.jsonl"},
		{"packed tar", packed(t, "gzip", tar), "dataset rows.jsonl is a tar archive: unpack it and name the file in it"},
		{"packed twice", packed(t, "zstd", packed(t, "gzip", "{}")), "dataset rows.jsonl is compressed twice: unpack it once"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := readString(t, c.content); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestReadingGoesOnAfterABadRow(t *testing.T) {
	content := "{\"n\":1}\noops\n{\"n\":3}\n{\"a\":\"" + strings.Repeat("x", 3*pipeline.MaxRowBytes) + "\"}\n{\"n\":5}\n"
	r, err := NewReader(strings.NewReader(content), "rows.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		row, err := r.Next()
		var bad *RowError
		if err == io.EOF {
			break
		} else if errors.As(err, &bad) {
			got = append(got, fmt.Sprintf("%d bad", bad.Line))
		} else if err != nil {
			t.Fatal(err)
		} else {
			got = append(got, fmt.Sprintf("%d %s", r.Line(), row))
		}
	}
	want := []string{`1 {"n":1}`, "2 bad", `3 {"n":3}`, "4 bad", `5 {"n":5}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
}

// lastLine reads to the end, skipping rows that the changed bytes made unusable, since the checksum
// is only found at the end.
func lastLine(content string) (int, error) {
	r, err := NewReader(strings.NewReader(content), "rows.jsonl")
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		var bad *RowError
		if _, err := r.Next(); err != nil && !errors.As(err, &bad) {
			return r.Line(), err
		}
	}
}

func TestADamagedStreamIsNamedWithTheLineReached(t *testing.T) {
	var rows strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&rows, "{\"n\":%d,\"hash\":\"%x\"}\n", i, i*i*7919)
	}
	for _, format := range []string{"gzip", "zstd"} {
		whole := packed(t, format, rows.String())
		flipped := []byte(whole)
		flipped[len(flipped)*3/4] ^= 0x55
		for _, c := range []struct{ name, content string }{
			{"cut in the middle", whole[:len(whole)/2]},
			{"cut at the last byte", whole[:len(whole)-1]},
			{"cut in the header", whole[:5]},
			{"a byte changed", string(flipped)},
		} {
			t.Run(format+"/"+c.name, func(t *testing.T) {
				line, err := lastLine(c.content)
				want := fmt.Sprintf("dataset rows.jsonl: the %s data are damaged or cut off after line %d: ", format, line)
				if !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), ": fetch or compress the file again") {
					t.Errorf("error %v, want %s…", err, want)
				}
			})
		}
	}
}

// A brokenReader fails after its content.
type brokenReader struct {
	io.Reader
	err error
}

func (r brokenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

func TestAStreamThatBreaksIsNotTakenForDamagedData(t *testing.T) {
	broken := errors.New("input/output error")
	var rows strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&rows, "{\"n\":%d}\n", i)
	}
	for _, format := range []string{"gzip", "zstd", "plain"} {
		content := rows.String()
		if format != "plain" {
			content = packed(t, format, content)
		}
		r, err := NewReader(brokenReader{strings.NewReader(content[:len(content)/2]), broken}, "rows")
		if err == nil {
			_, err = readAll(r)
		}
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "dataset rows cannot be read after line ") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestOpenSaysWhatIsWrongWithAPath(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "none.jsonl"), " cannot be opened: no such file or directory: check the path"},
		{dir, " is a folder: name a file in it"},
	} {
		if _, err := Open(c.path); err == nil || err.Error() != "dataset "+c.path+c.want {
			t.Errorf("Open(%s): %v", c.path, err)
		}
	}
}

func TestTheContentDecidesAndNotTheSuffix(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a.jsonl":     packed(t, "gzip", "{}\n"),
		"b.jsonl":     packed(t, "zstd", "{}\n"),
		"c.jsonl.gz":  "{}\n",
		"d.jsonl.zst": packed(t, "gzip", "{}\n"),
		"e.jsonl.gz":  packed(t, "gzip", "") + packed(t, "gzip", "{}") + packed(t, "gzip", "\n"), // several members
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := readAll(r)
		if diff := cmp.Diff([]string{"{}"}, rows); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An endless reader repeats a block until the bytes that are left are read.
type endless struct {
	block []byte
	left  int
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.block[e.at:])
	e.at = (e.at + n) % len(e.block)
	e.left -= n
	return n, nil
}

func TestMemoryStaysFlatHoweverLongTheDatasetIs(t *testing.T) {
	size := 200 << 20
	if testing.Short() || raceEnabled {
		size = 20 << 20
	}
	row := []byte(fmt.Sprintf("{\"question\":%q,\"answer\":%q}\n", strings.Repeat("How many? ", 200), strings.Repeat("42 ", 700)))
	r, err := NewReader(&endless{block: row, left: size / len(row) * len(row)}, "endless")
	if err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	rows, highest := 0, uint64(0)
	for ; ; rows++ {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if rows%2000 == 0 {
			runtime.ReadMemStats(&now)
			highest = max(highest, now.HeapAlloc)
		}
	}
	if rows != size/len(row) {
		t.Errorf("%d rows, want %d", rows, size/len(row))
	}
	if grown := int64(highest) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d KiB over %d MiB of rows", grown>>10, size>>20)
	}
}

func TestATooLongLineIsNotReadIntoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := NewReader(&endless{block: bytes.Repeat([]byte("x"), 1<<20), left: 256 << 20}, "endless")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !strings.Contains(err.Error(), "line 1: is longer than 4 MiB") {
		t.Error(err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 8*pipeline.MaxRowBytes {
		t.Errorf("%d MiB were allocated for one line", total>>20)
	}
}
