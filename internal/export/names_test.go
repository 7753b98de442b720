package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

func TestAUsualNameThatIsTakenGetsANumber(t *testing.T) {
	for _, c := range []struct {
		config  Config
		columns string
		ours    map[string]string
		note    string // the beginning of the only one
	}{
		{Config{}, "q", nil, ""},
		{Config{}, "response q", map[string]string{"response": "response_2"}, `the rows have a column "response", which stays: Gleaner's is "response_2" (--replace response`},
		{Config{}, "response response_2", map[string]string{"response": "response_3"}, `the rows have a column "response", which stays: Gleaner's is "response_3"`},
		{Config{}, "q gleaner", map[string]string{"gleaner": "gleaner_2"}, `the rows have the provenance of an earlier run, which stays: this run's is "gleaner_2"`},
		{Config{Provenance: ProvenanceNone}, "q gleaner", nil, ""},
		{Config{Provenance: ProvenanceFlat}, "q gleaner_id", map[string]string{"gleaner": "gleaner_2"}, "the rows have the provenance"},
		{Config{Provenance: ProvenanceFlat}, "q gleaner", nil, ""},
		{Config{Layout: LayoutChat}, "messages", map[string]string{"messages": "messages_2"}, `the rows have a column "messages", which stays`},
		{Config{Layout: LayoutChat}, "response", nil, ""},
		{Config{Layout: LayoutChat}, "prompt q", nil, `the rows have a column "prompt", from which TRL takes a prompt and not from "messages": leave it out with --columns -prompt`},
		{Config{Layout: LayoutChat, Columns: "-prompt"}, "prompt q", nil, ""},
		{Config{Layout: LayoutShareGPT}, "conversations", map[string]string{"conversations": "conversations_2"}, "the rows have"},
		{Config{Layout: LayoutPromptCompletion}, "prompt", map[string]string{"prompt": "prompt_2"}, "the rows have"},
		{Config{Columns: "-response"}, "response q", nil, ""},
		{Config{Columns: "q=response"}, "response q", map[string]string{"response": "response_2"}, "the rows have"},
		{Config{ResponseField: "answer_2"}, "response answer", map[string]string{"response": "answer_2"}, ""},
		{Config{Replace: "response"}, "response q", map[string]string{"response": "response"}, ""},
		{Config{Replace: "output"}, "output q", map[string]string{"response": "output"}, ""},
		{Config{Layout: LayoutChat, Replace: "messages"}, "messages q", map[string]string{"messages": "messages"}, ""},
		{Config{Layout: LayoutPromptCompletion, Replace: "prompt,answer"}, "prompt answer", map[string]string{"prompt": "prompt", "completion": "answer"}, ""},
		{Config{Layout: LayoutChat, Field: "messages"}, "messages q", nil, ""}, // what was asked, with the answer in it
		{Config{Field: "response"}, "response", map[string]string{"response": "response_2"}, "the rows have"},
	} {
		names, err := Settle(c.config, strings.Fields(c.columns))
		if err != nil {
			t.Errorf("%+v: %v", c.config, err)
			continue
		}
		if c.ours == nil {
			c.ours = map[string]string{}
		}
		if diff := cmp.Diff(c.ours, names.Ours); diff != "" {
			t.Errorf("%+v with %s (-want +got):\n%s", c.config, c.columns, diff)
		}
		if said := strings.Join(names.Notes, "\n"); (said == "") != (c.note == "") || !strings.HasPrefix(said, c.note) {
			t.Errorf("%+v with %s: %q", c.config, c.columns, names.Notes)
		}
		var again Names
		if data, err := json.Marshal(names); err != nil || json.Unmarshal(data, &again) != nil {
			t.Errorf("%+v as JSON: %s, %v", names, data, err)
		}
	}
}

func TestNamesThatTheUserGaveAreRefusedWithTheSpellingThatWorks(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{ResponseField: "q"}, `--response-field q: the rows have a column "q" already: choose another name, or write the answer in its stead with --replace q, a flag of run and export`},
		{Config{ResponseField: "a b"}, `--response-field a b: the rows have a column "a b" already: choose another name, or write the answer in its stead with --replace 'a b', a flag of run and export`},
		{Config{Replace: "outptu"}, `--replace outptu: the rows have no column "outptu": there are "q", "a b", "c", "x=y", "-n"`},
		{Config{Replace: "q,c"}, `--replace q,c: only one column can take the answer`},
		{Config{Columns: "q,d"}, `--columns q,d: the rows have no column "d": there are "q", "a b", "c", "x=y", "-n"`},
		{Config{Columns: "q,q"}, `--columns q,q: the column "q" stands there twice`},
		{Config{Columns: "q=c,c"}, `--columns q=c,c: two columns would be called "c"`},
		{Config{Columns: "*,q=c"}, `--columns *,q=c: two columns would be called "c"`},
		{Config{Columns: "-gleaner"}, `--columns -gleaner: "gleaner" is not a column of the rows but Gleaner's: use --provenance none to leave it out`},
		{Config{Columns: "response=answer"}, `--columns response=answer: "response" is not a column of the rows but Gleaner's: use --response-field NAME to call it otherwise`},
		{Config{Columns: "q,,c"}, `--columns q,,c: entry 2 is empty`},
		{Config{Columns: `"q`}, `--columns "q: a quote is not closed: put a name with a comma in quotes: '"a, b",c'`},
	} {
		if _, err := Settle(c.config, []string{"q", "a b", "c", "x=y", "-n"}); err == nil || err.Error() != c.want {
			t.Errorf("%+v:\n%v\nwant\n%s", c.config, err, c.want)
		}
	}
}

func TestColumnsAreChosenRenamedAndOrdered(t *testing.T) {
	row := `{"a": 1,"b": [2, 3], "x=y": null, "-n": "\u00e4", "c, d": {}}`
	for _, c := range []struct{ columns, want string }{
		{"", `"a": 1,"b": [2, 3], "x=y": null, "-n": "\u00e4", "c, d": {}`},
		{"b,a=first", `"b": [2, 3], "first": 1`},
		{"-b", `"a": 1, "x=y": null, "-n": "\u00e4", "c, d": {}`},
		{"*,b=new", `"a": 1, "new": [2, 3], "x=y": null, "-n": "\u00e4", "c, d": {}`},
		{"x=y,-n", `"x=y": null, "-n": "\u00e4"`},
		{"x=y=z", `"z": null`},
		{`"c, d",a`, `"c, d": {}, "a": 1`},
		{`"c, d=e",response`, `"e": {}`},
		{"a=b,b=a", `"b": 1, "a": [2, 3]`},
	} {
		got := line(t, testRun(), Config{Columns: c.columns, Provenance: ProvenanceNone}, nil, answered([]string{row}, "A.")[0])
		if want := "{" + c.want + `, "response": "A."}`; got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.columns, got, want)
		}
	}
}

func TestColumnsThatNoOneKnewOfAreNamed(t *testing.T) {
	e, err := NewEncoder(testRun(), Config{}, Names{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Line(answered([]string{`{"q": 1, "r\u0065sponse": 2}`}, "A.")[0])
	if err == nil || err.Error() != `item r/000000000: the row has a column "response" already: give the answer's column another name` {
		t.Error(err)
	}
}

// Whatever the columns are called, no two of a line have one name, and in layout rows every column
// of the row is there.
func TestNoTwoColumnsHaveOneName(t *testing.T) {
	name := rapid.SampledFrom([]string{"q", "response", "response_2", "gleaner", "gleaner_id", "gleaner_2_id", "messages", "conversations", "instruction",
		"input", "output", "output_2", "system", "history", "prompt", "completion", "id", "id_2", "custom_id", "error", "body", "reasoning", "ü\"\n"})
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.SliceOfNDistinct(name, 1, 8, rapid.ID[string]).Draw(rt, "columns")
		c := Config{
			Layout: rapid.SampledFrom(Layouts()).Draw(rt, "layout"), Provenance: rapid.SampledFrom([]string{ProvenanceNested, ProvenanceFlat}).Draw(rt, "provenance"),
			Field: rapid.SampledFrom(columns).Draw(rt, "field"), Chats: rapid.Bool().Draw(rt, "chats"), fields: []string{"q", "new", "gleaner", "response"},
		}
		row := map[string]int{}
		for i, column := range columns {
			row[column] = i
		}
		data, err := encode(row)
		if err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "replace") && c.Layout != LayoutOpenAIBatch {
			c.Replace = listEntry(columns[0])
		}
		names, err := Settle(c, columns)
		if err != nil {
			rt.Fatal(err)
		}
		e, err := NewEncoder(testRun(), c, names, asked{"", "why?"})
		if err != nil {
			rt.Fatal(err)
		}
		line, err := e.Line(answered([]string{string(data)}, "A.")[0])
		if err != nil {
			rt.Fatalf("%v with %v", err, columns)
		}
		seen := map[string]bool{}
		for _, f := range scanValid(line, nil) {
			if seen[f.text()] {
				rt.Fatalf("%q stands there twice: %s", f.text(), line)
			}
			seen[f.text()] = true
		}
		for column := range row {
			if !seen[column] && c.Layout == LayoutRows {
				rt.Fatalf("%q is lost: %s", column, line)
			}
		}
	})
}

func TestMoreColumnsThanATableCanHaveAreRefusedThere(t *testing.T) {
	var columns Columns
	for i := range maxColumns + 1 {
		if err := columns.Observe(fmt.Appendf(nil, `{"c%d": 1}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(columns.Names()) != maxColumns || !columns.more {
		t.Errorf("%d columns, more: %v", len(columns.Names()), columns.more)
	}
}

// A run says which columns its rows have, so that no export reads all of them for that. One of an
// earlier version does not.
func TestTheColumnsAreThoseThatTheRunKept(t *testing.T) {
	run := testRun()
	items := func(first, count int) (items []pipeline.Item, _ error) {
		if first < 2500 {
			items = make([]pipeline.Item, min(count, 2500-first))
		}
		for i := range items {
			items[i].Input = fmt.Appendf(nil, `{"q": 1, "c%d": 2}`, (first+i)/2000)
		}
		return items, nil
	}
	names, err := SettleRun(Config{Columns: "c1"}, run, items)
	if err != nil || !slices.Equal(names.Only, []string{"c1"}) {
		t.Error(names, err)
	}
	run.Spec.Dataset.Columns = []string{"q", "response"}
	names, err = SettleRun(Config{}, run, func(int, int) ([]pipeline.Item, error) { return nil, errors.New("they are read") })
	if err != nil || names.of("response") != "response_2" {
		t.Error(names, err)
	}
}

func TestTooManyColumnsAreNotKeptWithARun(t *testing.T) {
	var columns Columns
	columns.Take([]byte(`{"a": 1, "é\n": {"b": 2}}`))
	if got := columns.Kept(); !slices.Equal(got, []string{"a", "é\n"}) {
		t.Errorf("%q", got)
	}
	columns.Take([]byte(`{"` + strings.Repeat("x", maxKeptBytes) + `": 1}`))
	if got := columns.Kept(); got != nil {
		t.Errorf("%d are kept", len(got))
	}
}
