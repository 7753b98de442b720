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
	for _, c := range []struct {
		name, content string
		kind          pipeline.BadKind
		want          string
	}{
		{"cut off", "{\"a\":1}\n{\"a\":", pipeline.NotJSON, "line 2: the JSON object is cut off at the end of the file: fetch or write the file again"},
		{"not ended on its line", "{\"a\":\n{\"a\":1}\n", pipeline.NotJSON, "line 1: the JSON object does not end on its line: "},
		{"comma in an object", "\n{\"a\":1}\n{\"a\":1,}\n", pipeline.NotJSON, "line 3: is not JSON at column 7: a comma stands before the closing bracket: remove it, all of them with: python3 -c '"},
		{"comma after an object", "{\"a\":1},\n{\"a\":2}\n", pipeline.NotJSON, "line 1: a comma stands after the object: remove it, all of them with: python3 -c '"},
		{"comma at the end of an array", "[{\"a\":\n1},\n]", pipeline.NotJSON, "line 3: a comma stands before the closing ] of the array: remove it"},
		{"something after an object", `{"a":1} x`, pipeline.NotJSON, `line 1: is not JSON at column 9: "x" stands after the object`},
		{"single quotes", `{'a':1}`, pipeline.NotJSON, "line 1: is not JSON at column 2: this is how Python shows values, and JSON needs double quotes, true, false and null: write such rows with json.dumps, or convert them with: python3 -c '"},
		{"None", `{"a": None}`, pipeline.NotJSON, `line 1: is not JSON at column 7: this is how Python shows`},
		{"no quotes", `{a: 1}`, pipeline.NotJSON, `line 1: is not JSON at column 2: a name in double quotes has to stand here, not "a: 1}"`},
		{"no colon", `{"a" 1}`, pipeline.NotJSON, `line 1: is not JSON at column 6: a colon has to stand after the name, not "1}"`},
		{"no comma", `{"a":1 "b":2}`, pipeline.NotJSON, `line 1: is not JSON at column 8: a comma or a closing bracket has to stand here, not "\"b\":2}"`},
		{"wrong bracket", `{"a":[1}}`, pipeline.NotJSON, "line 1: is not JSON at column 8: a list ends with ] and an object with }"},
		{"line end in a string", "{\"a\":\"x\ny\"}\n", pipeline.NotJSON, `line 1: is not JSON at column 8: the line ends within a string: write a line break in a string as \n`},
		{"tab in a string", "{\"a\":\"x\ty\"}\n", pipeline.NotJSON, `line 1: is not JSON at column 8: a string holds the control character "\t": write it as an escape, a tab as \t`},
		{"unknown escape", `{"a":"\sum"}`, pipeline.NotJSON, `line 1: is not JSON at column 7: "\\s" is no escape: write a backslash in a string as \\`},
		{"array as a row", "{}\n[1,2]\n", pipeline.NotObject, "line 2: is an array, not a JSON object"},
		{"string", `"a"`, pipeline.NotObject, `line 1: is a string, not a JSON object`},
		{"number", `12`, pipeline.NotObject, `line 1: is a number, not a JSON object`},
		{"null", `null`, pipeline.NotObject, `line 1: is null, not a JSON object`},
		{"true", `true`, pipeline.NotObject, `line 1: is true or false, not a JSON object`},
		{"null in an array", `[null, {}]`, pipeline.NotObject, `line 1: is null, not a JSON object`},
		{"text first", "hello\n{}\n", pipeline.NotJSON, `line 1: begins with "hello", not with {: every row must`},
		{"text later", "{}\nhello\n", pipeline.NotJSON, `line 2: begins with "hello", not with {: every row must`},
		{"table later", "{}\n1,2\n", pipeline.NotJSON, `line 2: begins with "1,2", not with {: every row must`},
		{"invalid UTF-8", "{\"a\":\"\xff\"}\n", pipeline.NotUTF8, "line 1: is not valid UTF-8 at column 7: name the file's encoding, as in --encoding cp1252, or convert the file to UTF-8"},
		{"NUL bytes", "{\"a\":1}\n\x00\x00\x00\n", pipeline.HasNUL, "line 2: has a NUL byte at column 1: the file is damaged"},
		{"NUL in a string", "{\"id\":1,\"q\":\"a\x00b\"}\n", pipeline.HasNUL, "line 1: has a NUL byte at column 15: the file is damaged"},
		{"NaN", `{"a":1,"b":NaN}`, pipeline.NotANumber, "line 1: has NaN at column 12, which JSON does not know: --nan null reads it as null"},
		{"Infinity", `{"a":-Infinity}`, pipeline.NotANumber, "line 1: has -Infinity at column 6, which JSON does not know: --nan null reads it as null"},
		{"column twice", `{"a":1,"b":2,"a":3}`, pipeline.DuplicateName, `line 1: the name "a" stands twice in one object, and one of the values would be lost: rename or remove one`},
		{"column twice, spelled differently", `{"a<":1,"\u0061\u003c":3}`, pipeline.DuplicateName, `line 1: the name "a<" stands twice`},
		{"name twice deeper down", `{"a":[{"b":1,"b":2}]}`, pipeline.DuplicateName, `line 1: the name "b" stands twice`},
		{"too deep", `{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, pipeline.TooDeep, "line 1: has more than 512 lists and objects in each other: flatten it or leave it out"},
		{"too long", "{}\n{\"a\":\"" + strings.Repeat("x", pipeline.MaxRowBytes), pipeline.TooLong, "line 2: is longer than 4 MiB, the limit of a row: shorten it or leave it out"},
		{"one byte too long", "{}\n{\"a\":\"" + strings.Repeat("x", pipeline.MaxRowBytes-7) + "\"}\n", pipeline.TooLong, "line 2: is longer than 4 MiB"},
		{"all in one object", `{"n":1,"data":{"train":[{"a":"` + strings.Repeat("x", 3*pipeline.MaxRowBytes) + `"}]}}`, pipeline.TooLong, `line 1: is longer than 4 MiB, the limit of a row: if the rows stand in its list "data.train", add --rows-at data.train`},
		{"array cut off", `[{"a":1}`, pipeline.NotJSON, "line 1: the array is cut off at the end of the file, its closing ] is missing"},
		{"comma missing in an array", "[{\"a\":1}\n{\"a\":2}]", pipeline.NotJSON, `line 2: a comma is missing before "{\"a\":2}]" in the array: put one there`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var bad *pipeline.RowError
			_, err := readString(t, c.content)
			if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), "rows.jsonl, "+c.want) || bad.Kind != c.kind {
				t.Errorf("error %v\n want a row error (%s): rows.jsonl, %s", err, c.kind, c.want)
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
		var bad *pipeline.RowError
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
		var bad *pipeline.RowError
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

func TestMemoryStaysFlatInEveryForm(t *testing.T) {
	size := 40 << 20
	if testing.Short() || raceEnabled {
		size = 4 << 20
	}
	text := strings.Repeat("x", 500)
	for form, c := range map[string]struct{ before, row string }{
		"array":      {"[{}", ",{\"a\":\"" + text + "\"}"},
		"pretty":     {"", "{\n  \"a\": \"" + text + "\"\n}\n"},
		"glued":      {"", "{\"a\":\"" + text + "\"}"},
		"table":      {"a,b\n", "\"" + text + "\",2\n"},
		"wide text":  {"\xff\xfe", "{\x00}\x00\n\x00"},
		"bad rows":   {"{}\n", "{\"a\":\"" + text + "\n"},
		"ragged.csv": {"a,b\n1,2\n", text + "\n"},
	} {
		rows := size / len(c.row)
		r, err := NewReader(io.MultiReader(strings.NewReader(c.before), &endless{block: []byte(c.row), left: rows * len(c.row)}), form)
		if err != nil {
			t.Fatal(err)
		}
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		n, highest := 0, uint64(0)
		for ; ; n++ {
			_, err := r.Next()
			var bad *pipeline.RowError
			if err != nil && !errors.As(err, &bad) {
				break
			}
			if n%(rows/20) == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				highest = max(highest, now.HeapAlloc)
			}
		}
		if grown := int64(highest) - int64(before.HeapAlloc); n < rows || grown > 2<<20 {
			t.Errorf("%s: the heap grew by %d KiB over %d rows of %d", form, grown>>10, n, rows)
		}
		r.Close()
	}
}

func TestATooLongLineIsNotReadIntoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	line := &endless{block: bytes.Repeat([]byte("x"), 1<<20), left: 256 << 20}
	r, err := NewReader(io.MultiReader(strings.NewReader("{}\n"), line), "endless")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !strings.Contains(err.Error(), "line 2: is longer than 4 MiB") {
		t.Error(err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 12*pipeline.MaxRowBytes {
		t.Errorf("%d MiB were allocated for one line", total>>20)
	}
}
