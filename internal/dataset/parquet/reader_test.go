package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

type repetitionType = format.FieldRepetitionType

func contains(text, part string) bool { return strings.Contains(text, part) }

// makeFile writes Go values by the library.
func makeFile[T any](t testing.TB, rows []T, options ...pq.WriterOption) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pq.NewGenericWriter[T](&file, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func open(t testing.TB, file []byte) *Reader {
	t.Helper()
	r, err := Open(bytes.NewReader(file), int64(len(file)), "rows.parquet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// all returns the rows, and a line for each that cannot be given.
func all(t testing.TB, r *Reader) []string {
	t.Helper()
	var rows []string
	for {
		row, err := r.Next()
		if bad, ok := errors.AsType[*RowError](err); ok {
			rows = append(rows, bad.Error())
			continue
		}
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(row) || bytes.ContainsAny(row, "\r\n") {
			t.Fatalf("the row %q is no JSON on one line", row)
		}
		rows = append(rows, string(row))
	}
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestARowWithTextThatIsNoUTF8IsNamedAndTheOthersAreRead(t *testing.T) {
	type row struct {
		List []string `parquet:"list,list"`
		Text string   `parquet:"text"`
		Tail []int64  `parquet:"tail,list"`
	}
	file := makeFile(t, []row{{[]string{"a", "b"}, "x", []int64{1, 2}}, {[]string{"c", "d\xff", "e"}, "y", []int64{3}}, {[]string{"f"}, "z\xc3", []int64{4, 5}}, {nil, "end", nil}})
	same(t, all(t, open(t, file)),
		`{"list":["a","b"],"text":"x","tail":[1,2]}`,
		`row 2: column "list[]": byte 2 of the text is no UTF-8`,
		`row 3: column "text": byte 2 of the text is no UTF-8`,
		`{"list":[],"text":"end","tail":[]}`)
}

func TestNumbersThatJSONDoesNotHaveAreNullAndCounted(t *testing.T) {
	type row struct {
		F float64
		G float32
	}
	r := open(t, makeFile(t, []row{{math.NaN(), 1}, {math.Inf(1), float32(math.Inf(-1))}, {2, 0.1}}))
	same(t, all(t, r), `{"F":null,"G":1.0}`, `{"F":null,"G":null}`, `{"F":2.0,"G":0.1}`)
	if r.NaNs() != 3 || r.Rows() != 3 {
		t.Errorf("%d numbers of %d rows, want 3 of 3", r.NaNs(), r.Rows())
	}
}

func TestFieldsThatRepeatWithoutAnAnnotationAreLists(t *testing.T) {
	type pair struct {
		A int64
		B *string
	}
	type row struct {
		Pairs []pair
		Tags  []string
	}
	b := "b"
	file := makeFile(t, []row{{nil, []string{"x"}}, {[]pair{{1, &b}, {2, nil}}, nil}})
	same(t, all(t, open(t, file)), `{"Pairs":[],"Tags":["x"]}`, `{"Pairs":[{"A":1,"B":"b"},{"A":2,"B":null}],"Tags":[]}`)
}

func TestAMapWithOneKeyTwiceIsABadRow(t *testing.T) {
	schema := pq.NewSchema("rows", pq.Group{"m": pq.Map(pq.String(), pq.Int(64))})
	var file bytes.Buffer
	w := pq.NewGenericWriter[any](&file, schema)
	pair := func(key string, value int64, rep int) []pq.Value {
		return []pq.Value{pq.ValueOf(key).Level(rep, 1, 0), pq.ValueOf(value).Level(rep, 1, 1)}
	}
	row := func(pairs ...[]pq.Value) pq.Row {
		var row pq.Row
		for column := range 2 {
			for _, p := range pairs {
				row = append(row, p[column])
			}
		}
		return row
	}
	if _, err := w.WriteRows([]pq.Row{row(pair("a", 1, 0), pair("a", 2, 1)), row(pair("b", 3, 0), pair("c", 4, 1))}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, all(t, open(t, file.Bytes())), `row 1: column "m.key": the key "a" stands there twice`, `{"m":{"b":3,"c":4}}`)
}

// sample is a small file with lists, texts, numbers, a dictionary and several pages.
func sample(t testing.TB, codec pq.WriterOption, version int) []byte {
	type row struct {
		ID    int64    `parquet:"id,delta"`
		Text  string   `parquet:"text,optional"`
		Kind  string   `parquet:"kind,dict"`
		Score float64  `parquet:"score,split"`
		List  []string `parquet:"list,list"`
		Path  string   `parquet:"path,delta"`
	}
	var rows []row
	for i := range 40 {
		rows = append(rows, row{int64(i * i), strings.Repeat("t", i%7), "kind" + fmt.Sprint(i%3), float64(i) / 3, []string{"a", "b", "c"}[:i%4], fmt.Sprintf("/path/%03d", i)})
	}
	return makeFile(t, rows, codec, pq.DataPageVersion(version), pq.PageBufferSize(200), pq.MaxRowsPerRowGroup(25))
}

func samples(t testing.TB) [][]byte {
	var files [][]byte
	for _, codec := range []pq.WriterOption{pq.Compression(&pq.Uncompressed), pq.Compression(&pq.Snappy), pq.Compression(&pq.Gzip), pq.Compression(&pq.Brotli), pq.Compression(&pq.Zstd), pq.Compression(&pq.Lz4Raw)} {
		for version := range 2 {
			files = append(files, sample(t, codec, version+1))
		}
	}
	return files
}

func TestEveryCompressionOfTheLibraryIsRead(t *testing.T) {
	files := samples(t)
	want := all(t, open(t, files[0]))
	if len(want) != 40 || want[9] != `{"id":81,"text":"tt","kind":"kind0","score":3.0,"list":["a"],"path":"/path/009"}` {
		t.Fatalf("%d rows, the tenth is %s", len(want), want[9])
	}
	for _, file := range files[1:] {
		same(t, all(t, open(t, file)), want...)
	}
}

// drain reads a file to its end or its first error, which it returns.
func drain(file []byte) error {
	r, err := Open(bytes.NewReader(file), int64(len(file)), "rows.parquet")
	if err != nil {
		return err
	}
	defer r.Close()
	for range 10_000 { // a damaged file may claim any number of nulls
		if _, err := r.Next(); err != nil {
			if _, ok := errors.AsType[*RowError](err); !ok {
				return err
			}
		}
	}
	return nil
}

func TestAFileThatIsCutOffIsAnError(t *testing.T) {
	file := samples(t)[0]
	for n := range file {
		if err := drain(file[:n]); err == nil || err == io.EOF || !contains(err.Error(), "the Parquet file rows.parquet") {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestADamagedFileIsAnErrorOrOtherRows(t *testing.T) {
	for k, file := range samples(t) {
		for i := k % 3; i < len(file); i += 3 {
			damaged := bytes.Clone(file)
			damaged[i] ^= []byte{1, 0x80, 0xff}[i/3%3]
			if err := drain(damaged); err != nil && err != io.EOF && !contains(err.Error(), "the Parquet file rows.parquet") {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func TestWhatCannotBeReadSaysWhatItIsAndWhatHelps(t *testing.T) {
	file := samples(t)[0]
	encrypted := append(bytes.Clone(file[:len(file)-4]), "PARE"...)
	huge := append(bytes.Clone(file[:len(file)-8]), "\xff\xff\xff\x7fPAR1"...)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":         {nil, "it has only 0 bytes, so it was cut off or is no Parquet file: get it again"},
		"a text":          {[]byte(`{"a": 1, "b": 2}`), "it does not begin with PAR1, so it is no Parquet file"},
		"a part":          {file[:len(file)-1], "it does not end with PAR1, so it was cut off"},
		"encrypted":       {encrypted, "it is encrypted, and Gleaner has no keys: write it without encryption"},
		"a long footer":   {huge, "it claims a footer of 2147483647 bytes"},
		"zeros in footer": {append(bytes.Clone(file[:4]), append(make([]byte, 20), "\x14\x00\x00\x00PAR1"...)...), "it has no schema"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(bytes.NewReader(c.file), int64(len(c.file)), "x.parquet"); err == nil || !contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
	c := &column{path: "a", kind: format.Int64, width: 8}
	if err := c.open(chunk{kind: int(format.Int64), codec: format.Lz4, values: 1}, 1); err == nil || !contains(err.Error(), `column "a" is packed with LZ4, which is not read: write the file again, as by: python3 -c`) {
		t.Errorf("an unknown compression: %v", err)
	}
}

func TestTheErrorOfTheFileIsPassedOn(t *testing.T) {
	file := samples(t)[0]
	broken := errors.New("the network is down")
	_, err := Open(readerAt{iotest.ErrReader(broken)}, int64(len(file)), "x.parquet")
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	r := open(t, file)
	r.Close()
	if _, err := r.Next(); err == nil || err == io.EOF || !contains(err.Error(), "rows.parquet is closed") {
		t.Errorf("after Close: %v", err)
	}
}

// A readerAt reads from wherever its reader is.
type readerAt struct{ io.Reader }

func (r readerAt) ReadAt(p []byte, _ int64) (int, error) { return io.ReadFull(r.Reader, p) }

func FuzzOpen(f *testing.F) {
	for _, file := range samples(f) {
		f.Add(file)
	}
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Open(bytes.NewReader(file), int64(len(file)), "x.parquet")
		if err != nil {
			return
		}
		defer r.Close()
		for total := 0; total < 1<<20; {
			row, err := r.Next()
			total += len(row) + 10
			if _, ok := errors.AsType[*RowError](err); ok {
				continue
			}
			if err != nil {
				break
			}
			if !json.Valid(row) {
				t.Fatalf("the row %q is no JSON", row)
			}
		}
		for _, c := range r.columns {
			if c.memory.held > maxHeldBytes {
				t.Fatalf("%d bytes are held", c.memory.held)
			}
		}
	})
}
