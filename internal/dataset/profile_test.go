package dataset

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func profileOf(rows ...string) (columns []ColumnProfile, more bool) {
	var p Profile
	for _, row := range rows {
		p.Observe([]byte(row))
	}
	return p.Columns()
}

func TestAProfileSaysWhatIsInTheColumns(t *testing.T) {
	got, more := profileOf(
		`{"id": 1, "q": "a", "tags": ["x"], "meta": {"a": null}, "ok": true}`,
		`{"q": null, "id": 2.0, "ok": false, "tags": []}`,
		`{ "id" : 1e3 , "q" : "b\"}," , "\u0071": "twice", "late": -5 }`,
		`{}`,
	)
	want := []ColumnProfile{
		{Name: "id", Kinds: []KindCount{{"number", 2}, {"integer", 1}}, Missing: 1},
		{Name: "q", Kinds: []KindCount{{"text", 2}}, Null: 1, Missing: 1},
		{Name: "tags", Kinds: []KindCount{{"list", 2}}, Missing: 2},
		{Name: "meta", Kinds: []KindCount{{"object", 1}}, Missing: 3},
		{Name: "ok", Kinds: []KindCount{{"boolean", 2}}, Missing: 2},
		{Name: "late", Kinds: []KindCount{{"integer", 1}}, Missing: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" || more {
		t.Errorf("more: %t (-want +got):\n%s", more, diff)
	}
	if got, more := profileOf(); len(got) > 0 || more {
		t.Errorf("of no rows: %v, %t", got, more)
	}
}

// Rows with ever new columns, long names and ever new spellings take bounded memory and time.
func TestTheMemoryOfAProfileIsBounded(t *testing.T) {
	var p Profile
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var row strings.Builder
	for i := range 300 {
		row.Reset()
		row.WriteString(`{"same": 1`)
		for j := range 1000 {
			fmt.Fprintf(&row, `, "column %d": %d, "s\u0061%04x": null`, i*1000+j, j, j)
		}
		fmt.Fprintf(&row, `, "%s": 1}`, strings.Repeat("long", 10_000+i))
		p.Observe([]byte(row.String()))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	columns, more := p.Columns()
	if !more || len(columns) != mostProfiled || columns[0].Name != "same" || columns[0].Missing != 0 {
		t.Errorf("%d columns, more: %t; the first is %+v", len(columns), more, columns[0])
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 2<<20 {
		t.Errorf("it keeps %d bytes", kept)
	}
	runtime.KeepAlive(&p)
}

func TestEachFileSaysWhatIsInIt(t *testing.T) {
	dir := inputFiles(t, map[string]string{
		"a.txt": "{\"q\":1}\n", "b.jsonl": `[{"q":1}]`, "c.json": "q,r\n1,2\n", "d.csv": "q\tr\n1\t2\n", "e.csv": "q;r\n1;2\n",
		"f.jsonl.gz": packed(t, "gzip", `{"q":1}`), "g": packed(t, "zstd", "q,r\n1,2\n"),
	})
	s, rows := readSource(t, SourceOptions{Inputs: []string{filepath.Join(dir, "*")}})
	want := map[string]string{
		"a.txt": "JSON Lines", "b.jsonl": "JSON array", "c.json": "CSV", "d.csv": "TSV", "e.csv": "table with ';' between its cells",
		"f.jsonl.gz": "JSON Lines, gzip", "g": "CSV, zstd",
	}
	got := map[string]string{}
	for _, f := range s.Files() {
		got[filepath.Base(f.Path)] = f.Format
	}
	if diff := cmp.Diff(want, got); diff != "" || len(rows) != 7 {
		t.Errorf("%d rows (-want +got):\n%s", len(rows), diff)
	}
	few, err := NewSource(SourceOptions{Inputs: []string{filepath.Join(dir, "*")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range few.Files() {
		if f.Format != "" {
			t.Errorf("%s says %q before it was opened", f.Path, f.Format)
		}
	}
	counted, _ := readSource(t, SourceOptions{Rows: 2})
	if f := counted.Files()[0]; f.Format != "numbers that are counted" {
		t.Errorf("counted rows: %+v", f)
	}
}

// BenchmarkProfile measures what a profile adds to the check of a row.
func BenchmarkProfile(b *testing.B) {
	rows := strings.Split(strings.TrimSpace(benchTexts()["lines"]), "\n")
	bytes := make([][]byte, len(rows))
	for i, row := range rows {
		bytes[i] = []byte(row)
	}
	var p Profile
	b.ReportAllocs()
	for b.Loop() {
		for _, row := range bytes {
			p.Observe(row)
		}
	}
	b.ReportMetric(float64(p.Rows())/b.Elapsed().Seconds()/1000, "krows/s")
}
