package export

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
)

func TestJSONLinesAreTheRowsByteForByte(t *testing.T) {
	rows := []string{`{ "a" : 1.50 , "b":[ 1,2],"c":"\u00e4\/" }`, "{}", "{\n \"big\": 12345678901234567890,\r\n \"t\": \"a\u2028b\"\n}"}
	for _, packing := range []string{"", ".gz", ".zst"} {
		path, tally := mustExport(t, "out.jsonl"+packing, Config{Provenance: ProvenanceNone}, rows, "x", "y\u2028\u0085\u2029\x00", "z")
		want := `{ "a" : 1.50 , "b":[ 1,2],"c":"\u00e4\/", "response": "x"}` + "\n" +
			`{"response": "y\u2028\u0085\u2029\u0000"}` + "\n" +
			"{  \"big\": 12345678901234567890,   \"t\": \"a\u2028b\", \"response\": \"z\"}\n"
		if got := unpacked(t, path); got != want || tally.Lines != 3 || tally.Files != 1 {
			t.Errorf("%s, %+v:\n%q\nwant\n%q", packing, tally, got, want)
		}
	}
}

func TestAJSONArrayHasARowOnEachLine(t *testing.T) {
	path, _ := mustExport(t, "out.json", Config{Provenance: ProvenanceNone}, []string{`{"a": 1}`, `{"a": 2}`}, "x", "y")
	if got, want := unpacked(t, path), "[\n{\"a\": 1, \"response\": \"x\"},\n{\"a\": 2, \"response\": \"y\"}\n]\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	path, _ = mustExport(t, "out.json", Config{}, nil)
	if got := unpacked(t, path); got != "[]\n" {
		t.Errorf("%q", got)
	}
}

func TestATableHasAllColumnsInTheOrderInWhichTheyAreSeen(t *testing.T) {
	rows := []string{
		`{"id": 9007199254740993, "x": 1.50, "ok": true, "n": null, "e": "", "l": [1, "a"], "o": {"k": null}}`,
		`{"new": "a,\"b\"\n", "x": -0.0e-7, "\u0069d": 2, "e": " s", "=h": "tab\there"}`,
	}
	path, tally := mustExport(t, "out.csv", Config{Provenance: ProvenanceNone}, rows, "plain", "\r")
	want := "id,x,ok,n,e,l,o,response,new,=h\r\n" +
		`9007199254740993,1.50,true,,"","[1, ""a""]","{""k"": null}",plain,,` + "\r\n" +
		`2,-0.0e-7,,,` + "\" s\",,,\"\r\",\"a,\"\"b\"\"\n\",tab\there\r\n"
	if got := unpacked(t, path); got != want || tally.Lines != 2 {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	path, _ = mustExport(t, "out.tsv", Config{Provenance: ProvenanceNone, Columns: "x,=h"}, rows, "a,b", "c")
	if got, want := unpacked(t, path), "x\tresponse\t=h\r\n1.50\ta,b\t\r\n-0.0e-7\tc\t\"tab\there\"\r\n"; got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestARowOfOneNullIsNoEmptyLine(t *testing.T) {
	path, _ := mustExport(t, "out.csv", Config{Provenance: ProvenanceNone, Columns: "q=response", Replace: "q", All: true}, []string{`{"q": 1}`, `{"q": 1}`}, "", "x")
	if got := unpacked(t, path); got != "q\r\n\"\"\r\nx\r\n" {
		t.Errorf("%q", got)
	}
}

func TestATableWhoseFirstRowsMislead(t *testing.T) {
	rows, texts := numbered(150)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"score": %d, "code": "%d"}`, i, i)
		texts[i] = fmt.Sprint(i)
	}
	rows[120], texts[130] = `{"score": 0.5, "code": "x"}`, "It is 130."
	path, tally := mustExport(t, "out.csv", Config{Provenance: ProvenanceNone}, rows, texts...)
	lines := strings.Split(unpacked(t, path), "\r\n")
	if lines[1] != "0.0,0,0" || lines[2] != "1,1,1" || lines[121] != "0.5,x,120" {
		t.Errorf("%q", lines)
	}
	for i, column := range []string{"code", "response"} {
		if len(tally.Notes) != 2 || !strings.HasPrefix(tally.Notes[i], fmt.Sprintf("column %q begins with texts that look like numbers", column)) {
			t.Errorf("%q", tally.Notes)
		}
	}
}

func TestATableWithoutRowsHasTheAnswersColumn(t *testing.T) {
	path, _ := mustExport(t, "out.csv", Config{}, []string{`{"q": 1}`}, "")
	if got := unpacked(t, path); got != "response\r\n" {
		t.Errorf("%q", got)
	}
}

func TestASpreadsheetRunsNoFormulaOfASafeTable(t *testing.T) {
	rows := []string{`{"=a": "=1+1", "n": -1, "b": "+1", "c": "-1", "d": "@x", "e": "\t=1", "f": "\r=1", "g": "a=1", "h": [-1]}`}
	path, _ := mustExport(t, "out.csv", Config{Provenance: ProvenanceNone, CSVSafe: true}, rows, "=cmd|' /C calc'!A0")
	want := "'=a,n,b,c,d,e,f,g,h,response\r\n'=1+1,-1,'+1,'-1,'@x,'\t=1,\"'\r=1\",a=1,[-1],'=cmd|' /C calc'!A0\r\n"
	if got := unpacked(t, path); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// What encoding/csv reads of a table is what was in the rows.
func TestATableHoldsTheTextsOfTheRows(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(rapid.String(), 1, 5).Draw(rt, "texts")
		var rows []string
		for _, text := range texts {
			data, err := json.Marshal(map[string]string{"q": text, "id": "x"})
			if err != nil {
				rt.Fatal(err)
			}
			rows = append(rows, string(data))
		}
		answers := make([]string, len(rows))
		for i := range answers {
			answers[i] = "x" + rapid.String().Draw(rt, "answer")
		}
		out := filepath.Join(dir, "out.csv")
		if _, err := exported(t, testRun(), Config{Out: out, Provenance: ProvenanceNone}, nil, answered(rows, answers...)); err != nil {
			rt.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			rt.Fatal(err)
		}
		if !utf8.Valid(data) {
			rt.Fatal("it is not UTF-8")
		}
		got, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(string(data), "\r\n", "\n"))).ReadAll()
		if err != nil || len(got) != len(rows)+1 {
			rt.Fatalf("%v: %q", err, data)
		}
		for i, row := range got[1:] {
			text, answer := strings.ReplaceAll(texts[i], "\r\n", "\n"), strings.ReplaceAll(answers[i], "\r\n", "\n")
			if row[1] != strings.ToValidUTF8(text, "\ufffd") || row[2] != strings.ToValidUTF8(answer, "\ufffd") {
				rt.Fatalf("%q, want %q and %q", row, text, answer)
			}
		}
	})
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		out := filepath.Join(dir, "out.jsonl"+rapid.SampledFrom([]string{"", ".gz", ".zst"}).Draw(rt, "suffix"))
		var rows, want []string
		for range rapid.IntRange(1, 20).Draw(rt, "rows") {
			names := rapid.SliceOfNDistinct(rapid.StringN(1, 5, -1), 0, 4, rapid.ID[string]).Draw(rt, "names")
			row := map[string]string{}
			for _, name := range names {
				row["c"+name] = rapid.String().Draw(rt, "value")
			}
			data, err := json.Marshal(row)
			if err != nil {
				rt.Fatal(err)
			}
			answer, err := dataset.Append(data, dataset.Field{Name: "response", Value: "A."})
			if err != nil {
				rt.Fatal(err)
			}
			rows, want = append(rows, string(data)), append(want, string(answer))
		}
		if _, err := exported(t, testRun(), Config{Out: out, Provenance: ProvenanceNone}, nil, answered(rows, strings.Split(strings.Repeat("A.,", len(rows)), ",")...)); err != nil {
			rt.Fatal(err)
		}
		r, err := dataset.Open(out)
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		var got []string
		for {
			row, err := r.Next()
			if err != nil {
				break
			}
			got = append(got, string(row))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestHalfASurrogatePairIsWrittenSoThatLoadersReadIt(t *testing.T) {
	rows := []string{`{"q": "Smile \ud83d please \\ud83d \ud83d\ude00 \udE00\uDE00 \ud83d\u0041 \uD83D"}`, `{"q": "fine \ud83d\ude00"}`}
	path, tally := mustExport(t, "out.jsonl", Config{Provenance: ProvenanceNone}, rows, "x", "y")
	want := `{"q": "Smile \ufffd please \\ud83d \ud83d\ude00 \ufffd\ufffd \ufffd\u0041 \ufffd", "response": "x"}` + "\n" + `{"q": "fine \ud83d\ude00", "response": "y"}` + "\n"
	if got := unpacked(t, path); got != want || len(tally.Notes) != 1 || !strings.Contains(tally.Notes[0], "half a surrogate pair") {
		t.Errorf("%+v\n%s\nwant\n%s", tally, got, want)
	}
}

func TestMissingAnswersAreCountedInEachLayout(t *testing.T) {
	rows := []string{`{"q": 1}`, `{"q": 2}`, `{"q": 3}`, `{"q": 4}`}
	answers := answered(rows, "", "A.", "", "")
	answers[2].Failure = &pipeline.GenerationFailure{Class: pipeline.BadItem, Message: "no"}
	for _, layout := range Layouts() {
		for _, all := range []bool{false, true} {
			out := filepath.Join(t.TempDir(), "out.jsonl")
			tally, err := exported(t, testRun(), Config{Out: out, Layout: layout, All: all, Provenance: ProvenanceNone}, asked{question: "why?"}, answers)
			if err != nil {
				t.Fatal(err)
			}
			notes := len(tally.Notes)
			tally.Notes = nil
			want := Tally{Lines: 1, Missing: 3, LeftOut: 3, Classes: map[string]int{"bad-item": 1}, Files: 1}
			wantNotes := 0
			switch {
			case layout == LayoutRows && all:
				want.Lines, want.LeftOut, want.Failed = 4, 0, 1
				wantNotes = 1
			case layout == LayoutRows:
				want.Lines, want.LeftOut, want.Failed = 2, 2, 1
			case layout == LayoutOpenAIBatch:
				want.Lines, want.LeftOut, want.Failed = 4, 0, 1
			case all:
				wantNotes = 1
			}
			if diff := cmp.Diff(want, tally); diff != "" || notes != wantNotes {
				t.Errorf("%s, all %v, %d notes: %s", layout, all, notes, diff)
			}
			if text := unpacked(t, out); layout != LayoutRows && layout != LayoutOpenAIBatch && strings.Contains(text, "null") {
				t.Errorf("%s: %s", layout, text)
			}
		}
	}
}

func TestARowThatIsNoneEndsTheExport(t *testing.T) {
	x, err := New(testRun(), Config{Out: filepath.Join(t.TempDir(), "out.csv")}, Names{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Abort()
	for _, row := range []string{"", "[]", `{"a": 1`, "{\"a\": \"\xff\"}", `{"a": 1} x`} {
		if _, err := x.encoder.Line(pipeline.Answer{Input: []byte(row)}); err == nil || !strings.Contains(err.Error(), "item r/000000000: the row is no JSON object") {
			t.Errorf("%q: %v", row, err)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"a": "\ud83d", "b": [1, {"c": "\\"}], "\u0061b": null}`), "text \u2028", "*,a=b,-c")
	f.Fuzz(func(t *testing.T, row []byte, text, columns string) {
		var seen Columns
		if seen.Observe(row) != nil {
			return
		}
		for _, layout := range Layouts() {
			c := Config{Layout: layout, Columns: columns}
			names, err := Settle(c, seen.Names())
			if err != nil {
				continue
			}
			e, err := NewEncoder(testRun(), c, names, asked{question: text})
			if err != nil {
				t.Fatal(err)
			}
			line, err := e.Line(answered([]string{string(row)}, text+".")[0])
			if err != nil {
				continue
			}
			if !json.Valid(line) || !utf8.Valid(line) || strings.ContainsAny(string(line), "\n\r") {
				t.Fatalf("%s: %q", layout, line)
			}
			w := tableWriter{comma: ',', to: &strings.Builder{}}
			for _, field := range scanValid(line, nil) {
				w.appendCell(field.value)
			}
		}
	})
}
