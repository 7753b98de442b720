package view

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
)

func TestADryRunIsShownInTables(t *testing.T) {
	d := DryRun{
		Run: pipeline.Run{Name: "r", Items: 20_000}, RowBytes: 3 << 20, Bad: []BadRowsLeft{{Kind: "empty", Rows: 2}},
		Files: []FoundFile{{Path: "a.jsonl", Format: "JSON Lines", Bytes: 2 << 20}, {Path: "b.csv"}},
		Columns: []dataset.ColumnProfile{
			{Name: "q\n", Kinds: []dataset.KindCount{{Kind: "text", Rows: 20_000}}},
			{Name: "x", Kinds: []dataset.KindCount{{Kind: "integer", Rows: 19_999}, {Kind: "list", Rows: 1}}, Null: 500, Missing: 3},
			{Name: "no", Null: 20_000},
		},
		MoreColumns: true,
		Lengths:     RequestLengths{Bytes: Quantiles{100, 2000, 30_000}, Tokens: Quantiles{26, 501, 7501}, File: "a.jsonl", Line: 9},
		Resolved:    []Resolved{{"model", "m: as asked for; the server at http://127.0.0.1:1 does not have it, so it is pulled first"}, {"seed", "0"}},
		Settings:    []cli.Setting{{Flag: "model", Value: "m", From: "command line"}},
	}
	want := `DATASET  FORMAT         SIZE
a.jsonl  JSON Lines  2.0 MiB
b.csv    not needed         
20,000 rows, 3.0 MiB of JSON; 2 bad rows are left out

COLUMN  KIND                         NULL  MISSING
q       text                            -        -
x       integer >99.9 %, list <0.1 %  2.5 %   <0.1 %
no      null                          100 %        -
and more than are counted

REQUEST        P50    P99     MAX
bytes          100  2,000  30,000
tokens, about   26    501   7,501
The longest is of a.jsonl, line 9.

THE RUN
model  m: as asked for; the server at http://127.0.0.1:1 does not have it, so it
       is pulled first
seed   0

FLAG   VALUE  FROM
model  m      command line
`
	if diff := cmp.Diff(lined(want), lined(d.Text(80))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 30 {
		d.Columns = append(d.Columns, dataset.ColumnProfile{Name: fmt.Sprint("c", i)})
	}
	if got := d.Text(80); !strings.Contains(got, "\nand 9 more columns: --json has all\n") {
		t.Errorf("many columns:\n%s", got)
	}
}

// lined returns a text with one space between the cells of its tables.
func lined(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}
