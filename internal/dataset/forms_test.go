package dataset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"gleaner/internal/pipeline"
)

// all reads content with options and returns its rows, each with its line.
func all(t testing.TB, content string, o SourceOptions) []string {
	t.Helper()
	o.Inputs, o.Stdin = []string{"-"}, strings.NewReader(content)
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows := []string{}
	for {
		row, err := r.Next()
		if err != nil {
			if err.Error() != "EOF" {
				rows = append(rows, err.Error())
			}
			return rows
		}
		rows = append(rows, fmt.Sprintf("%d %s", r.Line(), row))
	}
}

func TestObjectsAreReadHoweverTheyAreArranged(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"array on a line", `[{"id": 9007199254740993, "p": 1.10}, {"id":2}]`, []string{`1 {"id": 9007199254740993, "p": 1.10}`, `1 {"id":2}`}},
		{"array, pretty", "[\n  {\n    \"a\": 1.50,\n    \"b\": [ 1 , \"x  y\" ]\n  },\n  {\"a\": 2}\n]\n", []string{`2 {"a":1.50,"b":[1,"x  y"]}`, `6 {"a": 2}`}},
		{"array, a row on each line", "[{\"a\":1},\r\n{\"a\":2}\r\n]", []string{`1 {"a":1}`, `2 {"a":2}`}},
		{"empty array", " [ ] ", []string{}},
		{"arrays one after the other", "[{\"a\":1}][{\"a\":2}]\n[]\n[{\"a\":3}]", []string{`1 {"a":1}`, `1 {"a":2}`, `3 {"a":3}`}},
		{"objects glued", `{"a":1}{"a":2} {"a":3}`, []string{`1 {"a":1}`, `1 {"a":2}`, `1 {"a":3}`}},
		{"objects over several lines", "{\n \"a\": 1\n}\n{\n \"a\": \"\\n\"\n}{\"a\":3}\n", []string{`1 {"a":1}`, `4 {"a":"\n"}`, `6 {"a":3}`}},
		{"an object over several lines among others", "{\"a\":1}\n{\"a\":\n2}\n{\"a\":3}\n", []string{`1 {"a":1}`, `2 {"a":2}`, `4 {"a":3}`}},
		{"line separators in text", "{\"a\":\"x\u2028y\u0085z\"}\n{}", []string{"1 {\"a\":\"x\u2028y\u0085z\"}", "2 {}"}},
		{"array with a mark and space before", "\xef\xbb\xbf\n [{}]", []string{"2 {}"}},
		{"carriage returns between tokens", "{\"a\":\r1}\n", []string{`1 {"a":1}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, all(t, c.content, SourceOptions{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadingGoesOnAfterABrokenObjectOverSeveralLines(t *testing.T) {
	rows, bad, err := readNamed(t, "{\n \"a\": 1\n}\n{\n \"a\": oops,\n \"b\": {\n }\n}\n{\n \"a\": 3\n}\n{\"b\":\n{\"c\":1}\n{\n \"d\": 1", "rows")
	want := []string{`1 {"a":1}`, `9 {"a":3}`, `13 {"c":1}`}
	wantBad := []string{
		`4 not JSON: is not JSON at column 7: a value has to stand here, not "oops," (in the object that begins here, on line 5)`,
		`12 not JSON: the JSON object does not end on its line: write it again, or put all of it on one line`,
		`14 not JSON: the JSON object is cut off at the end of the file: fetch or write the file again (in the object that begins here, on line 15)`,
	}
	if diff := cmp.Diff(want, rows) + cmp.Diff(wantBad, bad); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestReadingGoesOnAfterABrokenElement(t *testing.T) {
	rows, bad, err := readNamed(t, `[{"a":1},{"a":1,"a":2},null,{"a":oops},{"a":"x`+"\x01"+`"}, {"a":[1}},{"a":7}]`, "rows")
	if len(bad) != 5 || err != nil || fmt.Sprint(rows) != `[1 {"a":1} 1 {"a":7}]` {
		t.Errorf("rows %q, bad %q: %v", rows, bad, err)
	}
	// A quote is missing: rows that follow it would be lost unseen, so reading ends.
	rows, bad, err = readNamed(t, `[{"a":"x},{"a":"y"},{"a":"z"}]`, "rows")
	want := `rows, line 1: is not JSON at column 13: a comma or a closing bracket has to stand here, not "a\":\"y\"},{\"a\":\"z\"}]"; where the next row of the array begins cannot be said: repair this one`
	if err == nil || err.Error() != want || rows != nil || bad != nil {
		t.Errorf("rows %q, bad %q: %v\nwant %s", rows, bad, err, want)
	}
}

func TestRowsStandUnderNames(t *testing.T) {
	long := strings.Repeat("x", 3*pipeline.MaxRowBytes)
	text := `{"info": {"data": [1, {"x": "]"}]}, "long": "` + long + `", "data": {"n": 2, "train":
[{"a": 1}, {"a":
2}], "test": [{"a": 3}]}, "a.b": [{"a": 4}], "rest": 1}`
	for path, want := range map[string][]string{
		"data.train": {`2 {"a": 1}`, `2 {"a":2}`},
		"data.test":  {`3 {"a": 3}`},
		"a.b":        {`3 {"a": 4}`},
	} {
		if diff := cmp.Diff(want, all(t, text, SourceOptions{RowsAt: path})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, c := range []struct{ path, text, want string }{
		{"data.dev", text, `--rows-at data.dev: the object "data" has no list "dev": it has "n", "train", "test"`},
		{"rows", text, `--rows-at rows: the object at the top of the file has no list "rows": it has "info", "long", "data", "a.b", "rest"`},
		{"rest", text, `--rows-at rest: "rest" is a number, not a list of rows`},
		{"a", `[{"a":1}]`, `--rows-at a needs an object at the top of the file, and this one begins with "[{\"a\":1}]": leave --rows-at out`},
		{"a", `{"b": [`, `--rows-at a: the file ends before the list: fetch or write it again`},
		{"a", `{b: 1}`, `--rows-at a: line 1 is not JSON at "b: 1}": repair it`},
	} {
		s, err := NewSource(SourceOptions{Inputs: []string{"-"}, Stdin: strings.NewReader(c.text), RowsAt: c.path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(); err == nil || err.Error() != "dataset standard input: "+c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		s.Close()
	}
}

func TestNaNIsReadAsNullWhereThatIsAsked(t *testing.T) {
	s, rows := readSource(t, SourceOptions{Inputs: []string{"-"}, NaN: NaNNull, Stdin: strings.NewReader(
		"{\"a\": NaN, \"b\": [ -Infinity,Infinity ]}\n{\"a\": \"NaN\"}\n{\"a\":\nNaN}\n")})
	if diff := cmp.Diff([]string{`{"a": null, "b": [ null,null ]}`, `{"a": "NaN"}`, `{"a":null}`}, rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := readAll(r); err != nil || r.Notes().Nulled != 4 {
		t.Errorf("%+v, %v", r.Notes(), err)
	}
}

func TestWhatMayHaveBeenMeantOtherwiseIsNoted(t *testing.T) {
	r, err := NewReader(strings.NewReader(`{"version": 1, "data": {"rows": [{"q": "\ud83d"}]}}`), "a.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := readAll(r); err != nil {
		t.Fatal(err)
	}
	want := Notes{HalfCharacters: 1, Hints: []string{`a.json: the file is one object and was read as one row: if the rows stand in its list "data.rows", add --rows-at data.rows`}}
	if diff := cmp.Diff(want, r.Notes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTextsAreReadInTheirEncoding(t *testing.T) {
	encode := func(e encoding.Encoding, text string) string {
		encoded, err := e.NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	little, big := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	lines, table := "{\"q\":\"é€ 日😀\"}\r\n{}\r\n", "id;frage\r\n1;Größe – €5?\r\n"
	for _, c := range []struct {
		name, content, encoding string
		want                    []string
	}{
		{"UTF-16 by its mark", "\xff\xfe" + encode(little, lines), "", []string{`1 {"q":"é€ 日😀"}`, "2 {}"}},
		{"UTF-16, big end first, by its mark", "\xfe\xff" + encode(big, lines), "cp1252", []string{`1 {"q":"é€ 日😀"}`, "2 {}"}},
		{"UTF-16 by name", encode(little, lines), "UTF-16", []string{`1 {"q":"é€ 日😀"}`, "2 {}"}},
		{"UTF-16, big end first, by name", encode(big, table), "utf_16_be", []string{`2 {"id":"1","frage":"Größe – €5?"}`}},
		{"cp1252", encode(charmap.Windows1252, table), "cp1252", []string{`2 {"id":"1","frage":"Größe – €5?"}`}},
		{"latin-1", encode(charmap.Windows1252, "{\"q\":\"é\"}"), "latin-1", []string{`1 {"q":"é"}`}},
		{"UTF-8 with a mark, though named otherwise", "\xef\xbb\xbf{\"q\":\"é\"}", "cp1252", []string{`1 {"q":"é"}`}},
		{"a byte without a meaning", "a;b\n\x81;2\n", "cp1252", []string{"standard input, line 2: has a byte that its encoding does not know: give the right --encoding"}},
		{"packed", packed(t, "gzip", encode(charmap.Windows1251, "а,б\nв,г\n")), "windows-1251", []string{`2 {"а":"в","б":"г"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, all(t, c.content, SourceOptions{Encoding: c.encoding})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, content := range map[string]string{"utf-16le": encode(little, lines), "utf-16be": encode(big, table)} {
		_, err := NewReader(strings.NewReader(content), "rows.csv")
		if want := fmt.Sprintf("dataset rows.csv is in %s without a mark that says so: add --encoding %s", strings.ToUpper(name), name); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The forms of JSON are ways to write the same rows, so their digests agree.
func TestTheDigestsOfAllFormsAgree(t *testing.T) {
	texts := benchTexts()
	digest := func(content string, o SourceOptions) string {
		o.Inputs, o.Stdin = []string{"-"}, strings.NewReader(content)
		s, err := NewSource(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		d := NewDigest()
		for {
			row, err := r.Next()
			if err != nil {
				return d.String()
			}
			d.Add(row)
		}
	}
	want := digest(texts["lines"], SourceOptions{})
	for name, got := range map[string]string{
		"array":   digest(texts["array"], SourceOptions{}),
		"pretty":  digest(texts["pretty"], SourceOptions{}),
		"packed":  digest(packed(t, "zstd", texts["array"]), SourceOptions{}),
		"rows-at": digest(`{"data":`+texts["array"]+`}`, SourceOptions{RowsAt: "data"}),
		"escaped": digest(strings.ReplaceAll(texts["lines"], "apples", `\u0061pples`), SourceOptions{}),
		"UTF-16": digest("\xff\xfe"+func() string {
			s, _ := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String(texts["lines"])
			return s
		}(), SourceOptions{}),
	} {
		if got != want {
			t.Errorf("%s: digest %s, want %s", name, got, want)
		}
	}
	if digest(strings.Replace(texts["lines"], "0.5", "0.50", 1), SourceOptions{}) == want {
		t.Error("another number has the same digest")
	}
}
