package dataset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestBadRowsAreCountedByKind(t *testing.T) {
	var bad pipeline.BadRows
	for i := range 10_000 {
		bad.Add(&pipeline.RowError{Name: "a.jsonl", Line: i + 1, Kind: pipeline.NotJSON, Problem: "is not JSON", Row: []byte("x")})
		if i%1000 == 7 {
			bad.Add(&pipeline.RowError{Name: "b.csv", Line: i, Kind: pipeline.Ragged, Problem: fmt.Sprintf("has %d cells", i)})
		}
	}
	want := `10000 not JSON
  a.jsonl, line 1: is not JSON
  a.jsonl, line 2: the same
  a.jsonl, line 3: the same
10 more or fewer cells than the header
  b.csv, line 7: has 7 cells
  b.csv, line 1007: has 1007 cells
  b.csv, line 2007: has 2007 cells
`
	if diff := cmp.Diff(want, bad.String()); diff != "" || bad.Total() != 10_010 {
		t.Errorf("%d bad rows (-want +got):\n%s", bad.Total(), diff)
	}
	if first := bad.Kinds()[0].First; len(first) != 3 || first[0].Row != nil {
		t.Errorf("%d rows are kept, the first with %q", len(first), first[0].Row)
	}
}

func TestBadRowsAreWrittenAsTheyCame(t *testing.T) {
	var out strings.Builder
	w := NewBadWriter(&out)
	r, err := NewReader(strings.NewReader("{\"a\":1}\n{\"a\":<b>,\"b\":\"\xff\"}\n{\"x\":\""+strings.Repeat("y", pipeline.MaxKeptBytes)+"\t\"}\nnull\n"), "a.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		_, err := r.Next()
		bad, ok := err.(*pipeline.RowError)
		if err != nil && !ok {
			break
		}
		if ok {
			if err := w.Write(bad); err != nil {
				t.Fatal(err)
			}
		}
	}
	lines := strings.Split(out.String(), "\n")
	want := `{"file":"a.jsonl","line":2,"kind":"not JSON","reason":"is not JSON at column 6: a value has to stand here, not \"<b>,\\\"b\\\":\\\"\\xff\\\"}\"","row":"{\"a\":<b>,\"b\":\"\ufffd\"}"}`
	if lines[0] != want {
		t.Errorf("%s, want\n%s", lines[0], want)
	}
	if want := `y","cut":true}`; !strings.HasSuffix(lines[1], want) || len(lines[1]) > pipeline.MaxKeptBytes+500 {
		t.Errorf("a line of %d bytes ends with %s, want %s", len(lines[1]), lines[1][len(lines[1])-30:], want)
	}
	if want := `"reason":"is null, not a JSON object: every row must be a JSON object, {…}","row":"null"}`; !strings.HasSuffix(lines[2], want) || w.Lines() != 3 {
		t.Errorf("%d lines, the last is %s, want %s", w.Lines(), lines[2], want)
	}
}
