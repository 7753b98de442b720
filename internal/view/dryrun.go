package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
	"gleaner/internal/plan"
	"gleaner/internal/producer"
	"gleaner/internal/text"
)

// A DryRun is what a dry run has found, and what a run would be made of.
type DryRun struct {
	pipeline.Run
	NotWritten  bool                    `json:"dry_run"` // always true: nothing was written
	Files       []FoundFile             `json:"files"`
	LeftOut     []string                `json:"left_out,omitempty"` // files of folders that are not read, with why
	RowBytes    int                     `json:"row_bytes"`
	Bad         []BadRowsLeft           `json:"bad_rows,omitempty"`
	Columns     []dataset.ColumnProfile `json:"columns"`
	MoreColumns bool                    `json:"more_columns,omitempty"` // than are listed
	Request     ShownRequest            `json:"request"`                // the first one
	Lengths     RequestLengths          `json:"lengths"`
	Resolved    []Resolved              `json:"resolved"`
	Settings    []cli.Setting           `json:"settings"` // without those that are as by default
	Notes       []string                `json:"notes,omitempty"`
}

// A FoundFile is a file of the dataset, with what is in it.
type FoundFile struct {
	Path   string `json:"path"`
	Format string `json:"format,omitempty"` // empty: it was not needed
	Bytes  int64  `json:"bytes,omitempty"`
}

// A BadRowsLeft is how many rows of a kind are left out, with the first ones.
type BadRowsLeft struct {
	Kind  pipeline.BadKind `json:"kind"`
	Rows  int              `json:"rows"`
	First []string         `json:"first"`
}

// BadRowsOf returns the bad rows by kind.
func BadRowsOf(bad pipeline.BadRows) (kinds []BadRowsLeft) {
	for _, k := range bad.Kinds() {
		kind := BadRowsLeft{Kind: k.Kind, Rows: k.Count}
		for _, e := range k.First {
			kind.First = append(kind.First, e.Error())
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

// A ShownRequest is what a model server is asked.
type ShownRequest struct {
	Messages []RequestMessage `json:"messages"`
	Tools    json.RawMessage  `json:"tools,omitempty"`
	Seed     int              `json:"seed,omitempty"` // 0: not known, since it is made from the run's name
	Options  pipeline.Options `json:"options"`
}

// A RequestMessage is a message with the calls of tools as JSON.
type RequestMessage struct {
	Role       pipeline.Role   `json:"role"`
	Content    string          `json:"content"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolName   string          `json:"tool_name,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
}

// ShowRequest returns a request as it is shown.
func ShowRequest(r pipeline.Request) ShownRequest {
	shown := ShownRequest{Seed: r.Seed, Options: r.Options, Tools: json.RawMessage(r.Tools)}
	for _, m := range r.Messages {
		shown.Messages = append(shown.Messages, RequestMessage{m.Role, m.Content, json.RawMessage(m.ToolCalls), m.ToolName, m.ToolCallID})
	}
	return shown
}

// RequestLengths are how long requests are.
type RequestLengths struct {
	Bytes  Quantiles `json:"bytes"`
	Tokens Quantiles `json:"about_tokens"`
	File   string    `json:"longest_file"`
	Line   int       `json:"longest_line"`
}

// Quantiles are of many numbers the middle one, the one that 99 % do not exceed, and the greatest.
type Quantiles struct {
	P50 int `json:"p50"`
	P99 int `json:"p99"`
	Max int `json:"max"`
}

// LengthsOf returns the lengths of requests in bytes, and of how many tokens that is about.
func LengthsOf(l producer.Lengths) RequestLengths {
	bytes := Quantiles{l.Quantile(0.5), l.Quantile(0.99), l.Max()}
	return RequestLengths{
		Bytes:  bytes,
		Tokens: Quantiles{plan.AboutTokens(bytes.P50), plan.AboutTokens(bytes.P99), plan.AboutTokens(bytes.Max)},
		File:   l.File, Line: l.Line,
	}
}

// Resolved is what flags come to that do not say it themselves.
type Resolved struct {
	What  string `json:"what"`
	Value string `json:"value"`
}

// Bounds of what is shown of a dry run; as JSON all is there.
const (
	mostFiles   = 8
	mostColumns = 24
	mostName    = 32 // columns of a name
)

// Text shows it for people, in tables that fit into this many columns where they can.
func (d DryRun) Text(columns int) string {
	var b strings.Builder
	d.dataset(&b, columns)
	d.columns(&b, columns)
	b.WriteString("\n" + Table(cli.Grid{Columns: columns, Right: []int{1, 2, 3}}, []string{"REQUEST", "P50", "P99", "MAX"}, [][]string{
		d.Lengths.Bytes.cells("bytes"), d.Lengths.Tokens.cells("tokens, about"),
	}))
	fmt.Fprintf(&b, "The longest is of %s, line %d.\n\n", text.OneLine(d.Lengths.File), d.Lengths.Line)
	var rows [][]string
	for _, r := range d.Resolved {
		rows = append(rows, []string{r.What, text.OneLine(r.Value)})
	}
	b.WriteString(Table(cli.Grid{Columns: columns}, []string{"THE RUN"}, rows))
	if len(d.Settings) > 0 {
		rows = nil
		for _, s := range d.Settings {
			rows = append(rows, s.Cells())
		}
		b.WriteString("\n" + Table(cli.Grid{Columns: columns, Clip: []int{1}}, []string{"FLAG", "VALUE", "FROM"}, rows))
	}
	return b.String()
}

func (q Quantiles) cells(what string) []string {
	return []string{what, Count(q.P50), Count(q.P99), Count(q.Max)}
}

// dataset shows the files, and what was left out of them.
func (d DryRun) dataset(b *strings.Builder, columns int) {
	var rows [][]string
	for _, f := range d.Files[:min(len(d.Files), mostFiles)] {
		size := ""
		if f.Bytes > 0 {
			size = Bytes(float64(f.Bytes))
		}
		rows = append(rows, []string{text.Clip(text.OneLine(f.Path), 2*mostName), cmp.Or(f.Format, "not needed"), size})
	}
	b.WriteString(Table(cli.Grid{Columns: columns, Right: []int{2}, Clip: []int{0}}, []string{"DATASET", "FORMAT", "SIZE"}, rows))
	andMore(b, len(d.Files)-mostFiles, "file", "files")
	fmt.Fprintf(b, "%s, %s of JSON", Plural(d.Items, "row", "rows"), Bytes(float64(d.RowBytes)))
	if len(d.Bad) == 0 {
		b.WriteString("; no bad row\n")
		return
	}
	bad := 0
	for _, k := range d.Bad {
		bad += k.Rows
	}
	fmt.Fprintf(b, "; %s left out\n", Plural(bad, "bad row is", "bad rows are"))
}

// columns shows what is in the columns.
func (d DryRun) columns(b *strings.Builder, columns int) {
	var rows [][]string
	for _, c := range d.Columns[:min(len(d.Columns), mostColumns)] {
		rows = append(rows, []string{text.Clip(text.OneLine(c.Name), mostName), kindsOf(c, d.Items), share(c.Null, d.Items), share(c.Missing, d.Items)})
	}
	b.WriteString("\n" + Table(cli.Grid{Columns: columns, Right: []int{2, 3}, Clip: []int{1, 0}}, []string{"COLUMN", "KIND", "NULL", "MISSING"}, rows))
	andMore(b, len(d.Columns)-mostColumns, "column", "columns")
	if d.MoreColumns {
		b.WriteString("and more than are counted\n")
	}
}

func andMore(b *strings.Builder, n int, one, many string) {
	if n > 0 {
		fmt.Fprintf(b, "and %s: --json has all\n", Plural(n, "more "+one, "more "+many))
	}
}

// kindsOf says of which kinds the values of a column are, with their shares if there are several.
func kindsOf(c dataset.ColumnProfile, rows int) string {
	if len(c.Kinds) == 0 {
		return "null"
	}
	if len(c.Kinds) == 1 {
		return c.Kinds[0].Kind
	}
	words := make([]string, len(c.Kinds))
	for i, k := range c.Kinds {
		words[i] = k.Kind + " " + share(k.Rows, rows)
	}
	return strings.Join(words, ", ")
}

// share returns a part of the rows in percent; a part that is not nothing never shows as such.
func share(n, of int) string {
	switch percent := 100 * float64(n) / float64(max(of, 1)); {
	case n == 0:
		return "-"
	case n < of && percent >= 99.95:
		return ">99.9 %"
	case percent < 0.05:
		return "<0.1 %"
	case percent < 10:
		return fmt.Sprintf("%.1f %%", percent)
	default:
		return fmt.Sprintf("%.0f %%", percent)
	}
}
