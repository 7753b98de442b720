package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// observe returns the schema of rows.
func observe(t testing.TB, rows ...string) *Schema {
	t.Helper()
	s := &Schema{}
	for _, row := range rows {
		if err := s.Observe([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// written returns the file that rows become.
func written(t testing.TB, rows ...string) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, observe(t, rows...))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Size() != int64(file.Len()) {
		t.Errorf("the size is said to be %d and is %d", w.Size(), file.Len())
	}
	return file.Bytes()
}

func TestRowsComeBackWithTheTypeThatHoldsThemAll(t *testing.T) {
	for name, c := range map[string]struct{ rows, want []string }{
		"integers":                     {[]string{`{"a":9007199254740993}`, `{"a":-1}`}, []string{`{"a":9007199254740993}`, `{"a":-1}`}},
		"unsigned":                     {[]string{`{"a":18446744073709551615}`, `{"a":1}`}, []string{`{"a":18446744073709551615}`, `{"a":1}`}},
		"unsigned and negative":        {[]string{`{"a":18446744073709551615}`, `{"a":-1}`}, []string{`{"a":"18446744073709551615"}`, `{"a":"-1"}`}},
		"too large":                    {[]string{`{"a":18446744073709551616}`}, []string{`{"a":"18446744073709551616"}`}},
		"with and without a point":     {[]string{`{"a":1}`, `{"a":0.5}`}, []string{`{"a":1.0}`, `{"a":0.5}`}},
		"a point and a large integer":  {[]string{`{"a":9007199254740993}`, `{"a":1.5}`}, []string{`{"a":"9007199254740993"}`, `{"a":"1.5"}`}},
		"a point and a round one":      {[]string{`{"a":1152921504606846976}`, `{"a":1.5}`}, []string{`{"a":1.152921504606847e+18}`, `{"a":1.5}`}},
		"more digits than a double":    {[]string{`{"a":0.12345678901234567890}`}, []string{`{"a":"0.12345678901234567890"}`}},
		"larger than a double":         {[]string{`{"a":1e400}`}, []string{`{"a":"1e400"}`}},
		"smaller than a double":        {[]string{`{"a":1e-400}`}, []string{`{"a":"1e-400"}`}},
		"negative zero":                {[]string{`{"a":-0}`}, []string{`{"a":-0.0}`}},
		"texts and numbers":            {[]string{`{"a":"1"}`, `{"a":1}`, `{"a":null}`}, []string{`{"a":"\"1\""}`, `{"a":"1"}`, `{"a":null}`}},
		"lists and objects":            {[]string{`{"a":[1]}`, `{"a":{"b":[ 2 ]}}`}, []string{`{"a":"[1]"}`, `{"a":"{\"b\":[ 2 ]}"}`}},
		"mixed elements":               {[]string{`{"a":[1,"x",null]}`}, []string{`{"a":["1","\"x\"",null]}`}},
		"only null":                    {[]string{`{"a":null}`}, []string{`{"a":null}`}},
		"empty objects":                {[]string{`{"a":{},"b":[{}]}`}, []string{`{"a":"{}","b":["{}"]}`}},
		"empty lists":                  {[]string{`{"a":[],"b":[[],null]}`}, []string{`{"a":[],"b":[[],null]}`}},
		"fields of several rows":       {[]string{`{"z":1,"m":{"b":1}}`, `{"a":2,"m":{"a":true}}`}, []string{`{"z":1,"m":{"b":1,"a":null},"a":null}`, `{"z":null,"m":{"b":null,"a":true},"a":2}`}},
		"escapes":                      {[]string{`{"\u0061\n":"\ud83d\ude00 \ud83d \u2028\/"}`}, []string{"{\"a\\n\":\"😀 \ufffd \u2028/\"}"}},
		"names of all kinds":           {[]string{`{"":1,"a.b":2,"a":{"b":3},"日 本":4}`}, []string{`{"":1,"a.b":2,"a":{"b":3},"日 本":4}`}},
		"white space":                  {[]string{" {\n\"a\" : [ 1 , 2 ] ,\t\"b\" : { } , \"c\" : { \"d\" : 1.5e3 } } "}, []string{`{"a":[1,2],"b":"{ }","c":{"d":1500.0}}`}},
		"an object that is null later": {[]string{`{"m":[{"r":"u"},null]}`, `{"m":null}`, `{}`}, []string{`{"m":[{"r":"u"},null]}`, `{"m":null}`, `{"m":null}`}},
	} {
		t.Run(name, func(t *testing.T) { same(t, all(t, open(t, written(t, c.rows...))), c.want...) })
	}
}

func TestTextsThatAreNoUTF8AreReplacedAndCounted(t *testing.T) {
	rows := []string{`{"a":"\ud83d","b":"x\ufffd"}`, "{\"a\":\"\xff\",\"b\":\"y\"}", "{\"a\":\"fine\",\"b\":[\"\xff\"]}"}
	w, err := NewWriter(io.Discard, observe(t, rows...))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil || w.Replaced() != 3 {
		t.Errorf("%d replaced, want 3 (%v)", w.Replaced(), err)
	}
	same(t, all(t, open(t, written(t, rows...))), `{"a":"�","b":"\"x\\ufffd\""}`, `{"a":"�","b":"\"y\""}`, `{"a":"fine","b":"[\"�\"]"}`)
}

func TestColumnsThatBecomeTextAreNamed(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 25) + `{"a":1}` + strings.Repeat(`}`, 25)
	var keys strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&keys, `"k%d":1,`, i)
	}
	s := observe(t, `{"id":1,"x":{"y":[1,true]},"n":1.5,"e":{},"deep":`+deep+`,"map":{`+strings.TrimSuffix(keys.String(), ",")+`},"same":[{"a":1},{"a":2.5}]}`, `{"id":2,"n":9007199254740993}`)
	if got, want := s.Mixed(), []string{"x.y[]", "n"}; !slices.Equal(got, want) {
		t.Errorf("mixed are %q, want %q", got, want)
	}
	var got []string
	for _, c := range s.Texts() {
		got = append(got, c.Path+": "+c.Why)
	}
	same(t, got, "x.y[]: values of different types", "n: numbers that would change in one type", "e: objects without keys",
		"deep"+strings.Repeat(".a", 20)+": nested deeper than 20 levels", "map: objects with more than 1000 different keys")
}

func TestRowsThatCannotBeWrittenAreErrors(t *testing.T) {
	for row, want := range map[string]string{
		`[1]`:                      "is no JSON object",
		`{"a":1`:                   "is no JSON object",
		``:                         "is no JSON object",
		`{"a":1,"a":2}`:            `the name "a" stands twice`,
		`{"a":{"b":1,"\u0062":2}}`: `the name "b" stands twice`,
	} {
		if err := new(Schema).Observe([]byte(row)); err == nil || !contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", row, err, want)
		}
	}
	s := &Schema{}
	var err error
	for i := 0; err == nil && i <= maxFields; i++ {
		err = s.Observe(fmt.Appendf(nil, `{"column %d":{"a":1}}`, i))
	}
	if err == nil || !contains(err.Error(), "more than 10000 columns") {
		t.Errorf("error %v", err)
	}
	if _, err := NewWriter(io.Discard, observe(t, `{}`)); err == nil || !contains(err.Error(), "there are no columns") {
		t.Errorf("error %v", err)
	}
	for row, want := range map[string]string{
		`{"b":1}`:           `the column "b" was not among the rows`,
		`{"a":"x"}`:         `column "a" has a value of a type that was not among the rows`,
		`{"a":1.5}`:         `column "a" has a value of a type`,
		`{"l":[{"x":1}]}`:   `column "l[]" has a value of a type`,
		`{"l":[1`:           "it is no valid JSON",
		`[]`:                "is no JSON object",
		`{"l":[1],"l":[1]}`: `the name "l" stands twice`,
	} {
		w, err := NewWriter(io.Discard, observe(t, `{"a":1,"l":[1]}`))
		if err != nil {
			t.Fatal(err)
		}
		err = w.Write([]byte(row))
		if err == nil || !contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", row, err, want)
		}
		if again := w.Close(); !errors.Is(again, err) {
			t.Errorf("after it: %v", again)
		}
	}
}

// A full is a disk without room.
type full struct{ left int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAFullDiskIsAnError(t *testing.T) {
	row := []byte(`{"a":"` + strings.Repeat("x", 1000) + `"}`)
	for _, room := range []int{0, 2, 50, 300} {
		w, err := NewWriter(&full{room}, observe(t, string(row)))
		if err != nil {
			t.Fatal(err)
		}
		err = w.Write(row)
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
	}
}

func TestAColumnMayComeWithTheLastRow(t *testing.T) {
	const n = 120_000
	first := []byte(`{"id":1,"response":null}`)
	last := []byte(`{"id":2,"response":"at last","late":[1]}`)
	s := observe(t, string(first), string(last))
	var file bytes.Buffer
	w, err := NewWriter(&file, s)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := w.Write(first); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Write(last), w.Close()); err != nil {
		t.Fatal(err)
	}
	r := open(t, file.Bytes())
	if len(r.footer.groups) != 2 || r.footer.groups[0].rows != groupRows {
		t.Errorf("%d row groups", len(r.footer.groups))
	}
	rows := all(t, r)
	same(t, []string{fmt.Sprint(len(rows)), rows[0], rows[n]}, fmt.Sprint(n+1), `{"id":1,"response":null,"late":null}`, `{"id":2,"response":"at last","late":[1]}`)
}

func TestMemoryStaysTheSameWhileRowsGrow(t *testing.T) {
	row := []byte(`{"id":1,"text":"` + strings.Repeat("text ", 20) + `","list":["a","b"]}`)
	s := &Schema{}
	w, err := NewWriter(io.Discard, observe(t, string(row)))
	if err != nil {
		t.Fatal(err)
	}
	var after []uint64
	for range 3 {
		for range groupRows {
			if err := errors.Join(s.Observe(row), w.Write(row)); err != nil {
				t.Fatal(err)
			}
		}
		w.Size() // waits for what is done in the background
		runtime.GC()
		runtime.GC() // what the library keeps in pools is gone after the second one
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		after = append(after, m.HeapAlloc)
	}
	if after[2] > after[0]+8<<20 {
		t.Errorf("%d bytes are held after each 100,000 rows", after)
	}
}

// rows draws rows with some names in common and values of any type.
func rows() *rapid.Generator[[]string] {
	scalar := rapid.OneOf(
		rapid.Just("null"), rapid.SampledFrom([]string{"true", "false", "0", "-0", "1.0", "1e3", "-1.5", "9007199254740993", "18446744073709551615", "123456789012345678901234567890", "0.1", "1e400", "4.9e-324"}),
		rapid.Map(rapid.Int64(), func(v int64) string { return fmt.Sprint(v) }),
		rapid.Map(rapid.Float64(), func(v float64) string { b, _ := json.Marshal(v); return string(b) }),
		rapid.Map(rapid.String(), func(v string) string { b, _ := json.Marshal(v); return string(b) }),
	)
	value := scalar
	for range 3 {
		inner := value
		value = rapid.OneOf(scalar, rapid.Map(rapid.SliceOfN(inner, 0, 3), func(v []string) string { return "[" + strings.Join(v, ",") + "]" }), object(inner))
	}
	return rapid.SliceOfN(object(value), 1, 8)
}

func object(value *rapid.Generator[string]) *rapid.Generator[string] {
	names := rapid.SampledFrom([]string{"a", "b", "c", "", "a.b", "日"})
	return rapid.Map(rapid.MapOfN(names, value, 0, 4), func(v map[string]string) string {
		var fields []string
		for name, value := range v {
			fields = append(fields, fmt.Sprintf("%q:%s", name, value))
		}
		slices.Sort(fields)
		return "{" + strings.Join(fields, ",") + "}"
	})
}

func decode(t *rapid.T, text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// means reports whether a value that was read stands for one that was written.
func means(t *rapid.T, got, want any) bool {
	switch got := got.(type) {
	case map[string]any:
		want, ok := want.(map[string]any)
		for name := range want {
			_, known := got[name]
			ok = ok && known
		}
		for name, v := range got {
			ok = ok && means(t, v, want[name])
		}
		return ok
	case []any:
		want, ok := want.([]any)
		return ok && slices.EqualFunc(got, want, func(a, b any) bool { return means(t, a, b) })
	case json.Number:
		want, ok := want.(json.Number)
		a, _ := new(big.Rat).SetString(got.String())
		b, okb := new(big.Rat).SetString(want.String())
		return ok && okb && a.Cmp(b) == 0
	case string:
		if got == want {
			return true
		}
		if !json.Valid([]byte(got)) { // JSON text
			return false
		}
		a, _ := json.Marshal(decode(t, got))
		b, _ := json.Marshal(want)
		return bytes.Equal(a, b)
	}
	return got == want
}

func TestRowsAreTheSameAfterWritingAndReading(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := rows().Draw(rt, "rows")
		if !slices.ContainsFunc(in, func(row string) bool { return row != "{}" }) {
			return
		}
		out := all(t, open(t, written(t, in...)))
		if len(in) != len(out) {
			rt.Fatalf("%d rows became %d", len(in), len(out))
		}
		for i := range in {
			if !means(rt, decode(rt, out[i]), decode(rt, in[i])) {
				rt.Fatalf("row %d was %s\nand is %s", i, in[i], out[i])
			}
		}
	})
}

// fullDisk takes some bytes and no more.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

// A batch is packed while the next one is made, so a failure may come a little later, and it ends
// the file all the same.
func TestAFailureInTheBackgroundEndsTheFile(t *testing.T) {
	row := []byte(`{"text": "` + strings.Repeat("a b c ", 4000) + `"}`)
	var schema Schema
	if err := schema.Observe(row); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{2, 1 << 14} {
		w, err := NewWriter(&fullDisk{room}, &schema)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 20_000 && err == nil; i++ {
			if err = w.Write(row); i%1000 == 999 {
				w.Size()
			}
		}
		if err == nil {
			err = w.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%v", err)
		}
		w.Abort()
		if again := w.Write(row); again == nil {
			t.Error("a row is taken after a failure")
		}
	}
	w, err := NewWriter(io.Discard, &schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(row); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("%v", err)
	}
}
