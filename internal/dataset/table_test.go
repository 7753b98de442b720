package dataset

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// readNamed returns the good rows and the errors of the bad ones, each with its line.
func readNamed(t testing.TB, content, name string) (rows, bad []string, err error) {
	t.Helper()
	r, err := NewReader(strings.NewReader(content), name)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	for {
		row, err := r.Next()
		var e *pipeline.RowError
		switch {
		case err == io.EOF:
			return rows, bad, nil
		case errors.As(err, &e):
			bad = append(bad, fmt.Sprintf("%d %s: %s", e.Line, e.Kind, e.Problem))
		case err != nil:
			return rows, bad, err
		default:
			rows = append(rows, fmt.Sprintf("%d %s", r.Line(), row))
		}
	}
}

func TestTablesAreRead(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"commas", "id,q\n1,What?\n2,Who?\n", []string{`2 {"id":"1","q":"What?"}`, `3 {"id":"2","q":"Who?"}`}},
		{"tabs", "id\tq\n1\tWhat, if any?\n", []string{`2 {"id":"1","q":"What, if any?"}`}},
		{"semicolons and decimal commas", "id;x\n1;1,5\n2;2,5\n", []string{`2 {"id":"1","x":"1,5"}`, `3 {"id":"2","x":"2,5"}`}},
		{"bars", "id|q\n1|What?\n", []string{`2 {"id":"1","q":"What?"}`}},
		{"mark, CRLF, quoted line end", "\xef\xbb\xbfid,q,n\r\n1,\"Write two lines:\nfirst, second\",\"say \"\"hi\"\"\"\r\n2,Name it.,\r\n",
			[]string{`2 {"id":"1","q":"Write two lines:\nfirst, second","n":"say \"hi\""}`, `4 {"id":"2","q":"Name it.","n":null}`}},
		{"empty and quoted empty", "a,b,c\n,\"\", \n", []string{`2 {"a":null,"b":"","c":" "}`}},
		{"never guessed", "a,b\n007,1e5\ntrue,NaN\n", []string{`2 {"a":"007","b":"1e5"}`, `3 {"a":"true","b":"NaN"}`}},
		{"escapes", "a,b\nC:\\x,t\x01\u2028é\n", []string{`2 {"a":"C:\\x","b":"t\u0001` + "\u2028é" + `"}`}},
		{"quotes within a cell", "a,b\n5\" pipe,it's \"so\"\n", []string{`2 {"a":"5\" pipe","b":"it's \"so\""}`}},
		{"no line end at the end", "a,b\n1,\"2\"", []string{`2 {"a":"1","b":"2"}`}},
		{"empty last cell at the end", "a,b\n1,", []string{`2 {"a":"1","b":null}`}},
		{"blank lines", "\na,b\n\n1,2\n\r\n3,4\n\n", []string{`4 {"a":"1","b":"2"}`, `6 {"a":"3","b":"4"}`}},
		{"carriage returns alone", "a,b\r1,2\r\"3\r\",4\r", []string{`2 {"a":"1","b":"2"}`, `3 {"a":"3\r","b":"4"}`}},
		{"a carriage return in a cell", "a,b\n1\r2,3\r\n", []string{`2 {"a":"1\r2","b":"3"}`}},
		{"delimiter named by Excel", "sep=;\na;b,c\n1;2\n", []string{`3 {"a":"1","b,c":"2"}`}},
		{"quoted header", "\"a\",\"b \"\"x\"\"\"\n1,2\n", []string{`2 {"a":"1","b \"x\"":"2"}`}},
		{"JSON in a cell", "id\tdata\n1\t{\"a\": 1}\n", []string{`2 {"id":"1","data":"{\"a\": 1}"}`}},
		{"JSON in quotes first", "\"{\"\"a\"\": 1}\",b\n{},2\n", []string{`2 {"{\"a\": 1}":"{}","b":"2"}`}},
		{"header alone", "a,b\n", nil},
		{"wide characters", "問題;答え\n何?;あ\n", []string{`2 {"問題":"何?","答え":"あ"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, bad, err := readNamed(t, c.content, "rows")
			if diff := cmp.Diff(c.want, rows); diff != "" || err != nil || bad != nil {
				t.Errorf("%v, bad rows %q (-want +got):\n%s", err, bad, diff)
			}
		})
	}
}

func TestATableOfOneColumnIsKnownByItsName(t *testing.T) {
	rows, bad, err := readNamed(t, "question\nWhat?\n\"Who, then?\"\n", "q.csv.gz")
	if diff := cmp.Diff([]string{`2 {"question":"What?"}`, `3 {"question":"Who, then?"}`}, rows); diff != "" || bad != nil || err != nil {
		t.Errorf("%v %q (-want +got):\n%s", err, bad, diff)
	}
	_, _, err = readNamed(t, "question\nWhat?\n", "q.txt")
	if want := `dataset q.txt begins with "question": that is neither JSON nor a table with a header (a table of one column is read if its name ends in .csv)`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestBadRowsOfTablesAreExplained(t *testing.T) {
	for _, c := range []struct {
		name, content string
		rows, bad     []string
	}{
		{"ragged", "a,b\n1\n1,2\n1,2,3\n", []string{`3 {"a":"1","b":"2"}`}, []string{
			`2 more or fewer cells than the header: has 1 cell, and the header has 2: put a cell that holds a ',', a quote or a line break into double quotes`,
			`4 more or fewer cells than the header: has 3 cells, and the header has 2: put a cell that holds a ',', a quote or a line break into double quotes`}},
		{"text after a quote", "a,b\n\"He \"said\" it\",2\n3,4\n", []string{`3 {"a":"3","b":"4"}`}, []string{
			`2 not JSON: has "said\" it\",2" after the closing quote of a cell: double the quotes that are part of the text`}},
		{"quote not closed", "a,b\n1,2\n\"3,4\n5,6\n", []string{`2 {"a":"1","b":"2"}`, `4 {"a":"5","b":"6"}`}, []string{
			`3 not JSON: a quote of this row is not closed in the rest of the file: close it, or double it if it is part of the text`}},
		{"invalid UTF-8", "a,b\n\xe9t\xe9,2\n3,4\n", []string{`3 {"a":"3","b":"4"}`}, []string{
			`2 not valid UTF-8: is not valid UTF-8 at column 1: name the file's encoding, as in --encoding cp1252, or convert the file to UTF-8`}},
		{"NUL", "a,b\n1\x00,2\n3,4\n", []string{`3 {"a":"3","b":"4"}`}, []string{
			`2 with a NUL byte: has a NUL byte at column 2: the file is damaged, or no text in UTF-8`}},
		{"too long", "a,b\n" + strings.Repeat("x", pipeline.MaxRowBytes) + ",2\n3,4\n", []string{`3 {"a":"3","b":"4"}`}, []string{
			`2 too long: is longer than 4 MiB, the limit of a row: shorten it or leave it out`}},
		{"endless", "a,b\n" + strings.Repeat("x", 4*pipeline.MaxRowBytes) + ",2\n3,4\n", []string{`3 {"a":"3","b":"4"}`}, []string{
			`2 too long: is longer than 4 MiB, the limit of a row: shorten it or leave it out, or close its quotes`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, bad, err := readNamed(t, c.content, "rows.csv")
			if diff := cmp.Diff(c.rows, rows) + cmp.Diff(c.bad, bad); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestHeadersHaveToNameEachColumnOnce(t *testing.T) {
	for content, want := range map[string]string{
		",q,a\n0,1,2\n":  "has no name for its first column, as where pandas wrote the index: write it with index=False, or put a name at the beginning of the first line",
		"q,,a\n0,1,2\n":  "has no name for column 2 of 3: the first line has to name each column",
		"q,a,q\n1,2,3\n": `names the columns 1 and 3 both "q", and one of them would be lost: rename one in the first line`,
		"q,\"a\n1,2\n":   "has a header with a quote that is not closed: close it, or double it if it is part of the text",
		"q,\xe9\n1,2\n":  "has a header that is not valid UTF-8: name the file's encoding, as in --encoding cp1252, or convert the file to UTF-8",
	} {
		if _, _, err := readNamed(t, content, "rows.csv"); err == nil || err.Error() != "dataset rows.csv "+want {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

// FuzzTable compares tables with encoding/csv.
func FuzzTable(f *testing.F) {
	for _, seed := range []string{"1,2\n", "\"1\n\",\"\"\"\"\n3,4", ",\n\"\",x", "a\\,\x01\n", "\"x\"y,1\n2,3", "1\r,2\r\n", "1,2,3\n", "\"a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text := "a,b\n" + string(content)
		rows, bad, err := readNamed(t, text, "rows.csv")
		if err != nil || len(rows)+len(bad) > len(text) {
			return
		}
		for _, row := range rows {
			_, row, _ := strings.Cut(row, " ")
			if !json.Valid([]byte(row)) {
				t.Fatalf("%q: %s is not JSON", text, row)
			}
		}
		if strings.ContainsAny(text, "\r\x00") || len(bad) > 0 || strings.HasPrefix(text, "sep=") {
			return // encoding/csv changes line ends in cells
		}
		reader := csv.NewReader(strings.NewReader(text))
		reader.LazyQuotes = true
		want, err := reader.ReadAll()
		if err != nil || len(want) == 0 {
			return
		}
		if len(want)-1 != len(rows) {
			t.Fatalf("%q: %d rows, encoding/csv has %d", text, len(rows), len(want)-1)
		}
		for i, row := range rows {
			_, row, _ := strings.Cut(row, " ")
			var cells struct{ A, B string } // null leaves ""
			if err := json.Unmarshal([]byte(row), &cells); err != nil || cells.A != want[i+1][0] || cells.B != want[i+1][1] {
				t.Fatalf("%q: row %d is %s, encoding/csv has %q: %v", text, i, row, want[i+1], err)
			}
		}
	})
}
