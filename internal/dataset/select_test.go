package dataset

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// chosen returns the rows that a selection takes, and what came of it; bad rows as their error.
func chosen(t testing.TB, text string, c Selection) (rows []string, found Chosen) {
	t.Helper()
	s, err := NewSource(SourceOptions{Inputs: []string{"-"}, Stdin: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	selected, err := s.Select(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	for pass := range 2 {
		r, err := selected.Open()
		if err != nil {
			return []string{err.Error()}, found
		}
		rows = nil
		for {
			row, err := r.Next()
			var bad *pipeline.RowError
			if err == io.EOF {
				break
			}
			if err != nil {
				rows = append(rows, err.Error())
				if errors.As(err, &bad) {
					continue
				}
				break
			}
			rows = append(rows, fmt.Sprintf("%d %s", r.Line(), row))
		}
		found = r.Chosen()
		r.Close()
		if pass == 0 {
			first = rows
		}
	}
	if diff := cmp.Diff(first, rows); diff != "" {
		t.Errorf("another pass gives other rows (-first +second):\n%s", diff)
	}
	return rows, found
}

func TestConditionsChooseRows(t *testing.T) {
	text := `{"q": "a", "level": 1, "score": 0.5, "tags": ["x", "y"], "meta": {"n": 9007199254740993}, "type": "easy", "count": 3}
{"q": "b", "level": 2, "score": 1e2, "tags": [], "meta": null, "type": "hard", "count": 5, "Question Text": "b?"}
{"q": "c", "level": null, "score": "0.7", "type": "hard", "count": 18446744073709551616}
`
	for _, c := range []struct {
		where     string
		want      string
		undecided string
	}{
		{`level == 1`, "1", ""},
		{`level >= 1 and level <= 2`, "1 2", "standard input, line 3: "},
		{`score > 0.4`, "1 2", `standard input, line 3: invalid operation: string > float64 (1:7) (score is text here: compare numbers with float(score))`},
		{`float(score) > 0.6`, "2 3", ""},
		{`"x" in tags`, "1", ""},
		{`len(tags ?? []) == 0`, "2 3", ""},
		{`meta.n == 9007199254740993`, "1", "standard input, line 2: "},
		{`type == "hard"`, "2 3", ""},
		{`count > 2`, "1 2", "standard input, line 3: the number 18446744073709551616 is too large to compare, in column \"count\""},
		{`count(tags, # == "x") == 1`, "1", "standard input, line 3: "},
		{`q matches "^[ab]$" && not (q == "b")`, "1", ""},
		{`row["Question Text"] == "b?"`, "2", "standard input, line 3: the number"},
		{`level`, "", "standard input, line 1: it gives \"1\", not true or false"},
		{`let n = level; n == 2`, "2", ""},
		{`all(tags, # == "z") and level == 2`, "2", "standard input, line 3: reflect: call of reflect.Value.Len on zero Value (1:1) (missing or null here: level, tags)"},
		{`level != nil and true`, "1 2", ""},
	} {
		rows, found := chosen(t, text, Selection{Where: c.where})
		var lines []string
		for _, row := range rows {
			line, _, _ := strings.Cut(row, " ")
			lines = append(lines, line)
		}
		if got := strings.Join(lines, " "); got != c.want || !strings.HasPrefix(found.First, c.undecided) || c.undecided == "" && found.First != "" {
			t.Errorf("%s takes %q, want %q; %+v", c.where, rows, c.want, found)
		}
		if found.Taken+found.Refused+found.Undecided != 3 {
			t.Errorf("%s: %+v", c.where, found)
		}
	}
	for where, want := range map[string]string{
		`levle == 1`: `input-where: the condition "levle == 1": no row has a column "levle": the columns are "q", "level", "score", "tags", "meta", "type", "count", "Question Text"`,
	} {
		if rows, _ := chosen(t, text, Selection{Where: where}); len(rows) != 1 || rows[0] != want {
			t.Errorf("%s: %q, want %s", where, rows, want)
		}
	}
}

func TestAConditionThatCannotBeReadIsRefusedAtOnce(t *testing.T) {
	s, err := NewSource(SourceOptions{Rows: 1})
	if err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{
		`level ==`:         "unexpected token EOF (1:8)",
		`q matches "("`:    "error parsing regexp: missing closing ): `(` (1:3)",
		`"a`:               "literal not terminated",
		`lenght(tags) > 1`: `there is no function "lenght"`,
	} {
		if _, err := s.Select(Selection{Where: where}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", where, err, want)
		}
	}
	if _, err := s.Select(Selection{Random: true}, nil); err == nil {
		t.Error("rows are drawn without a limit")
	}
}

func TestTheLimitTakesTheFirstRowsOrDrawsTheSameOnes(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "{\"n\":%d}\n", i)
	}
	first, _ := chosen(t, text.String(), Selection{Limit: 2})
	if diff := cmp.Diff([]string{`1 {"n":0}`, `2 {"n":1}`}, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	five, _ := chosen(t, text.String(), Selection{Limit: 5, Random: true, Seed: 7})
	if diff := cmp.Diff([]string{`61 {"n":60}`}, five); diff == "" || len(five) != 5 {
		t.Errorf("drawn: %q", five)
	}
	taken := map[string]bool{}
	hundred, _ := chosen(t, text.String(), Selection{Limit: 100, Random: true, Seed: 7})
	for _, row := range hundred {
		taken[row] = true
	}
	for _, row := range five {
		if !taken[row] {
			t.Errorf("a larger limit does not take %s", row)
		}
	}
	other, _ := chosen(t, text.String(), Selection{Limit: 5, Random: true, Seed: 8})
	if cmp.Equal(five, other) {
		t.Errorf("another seed draws the same rows")
	}
	even, found := chosen(t, text.String(), Selection{Limit: 100, Random: true, Seed: 7, Where: "n % 2 == 0"})
	if len(even) != 100 || found.Taken != 100 || found.Undecided != 0 {
		t.Errorf("%d rows, %+v", len(even), found)
	}
	if all, _ := chosen(t, text.String(), Selection{Limit: 5000, Random: true}); len(all) != 1000 || all[999] != `1000 {"n":999}` {
		t.Errorf("%d rows are drawn of 1000", len(all))
	}
}

// Every row has the same chance: of 100,000 rows in ten parts about as many are drawn of each.
func TestDrawsAreEven(t *testing.T) {
	var parts [10]int
	for seed := range uint64(20) {
		for row := range uint64(10_000) {
			if mix(seed, row)>>56 == 0 { // one of 256
				parts[row/1000]++
			}
		}
	}
	for i, n := range parts {
		if n < 50 || n > 110 { // 78 on average
			t.Errorf("%d rows of part %d are drawn", n, i)
		}
	}
}

func TestEachElementOfAListBecomesARow(t *testing.T) {
	text := `{"id": 1, "q": [ "a, \"]" , {"x": [1, 2]},3.10 ], "z": null}
{"q": []}
{"id": 2, "q": [[]]}
{"id": 3, "q": "text"}
{"id": 4}
`
	rows, found := chosen(t, text, Selection{Explode: "q"})
	want := []string{
		`1 {"id": 1, "q": "a, \"]", "z": null}`, `1 {"id": 1, "q": {"x": [1, 2]}, "z": null}`, `1 {"id": 1, "q": 3.10, "z": null}`,
		`3 {"id": 2, "q": []}`,
		`standard input, line 4: the column "q" is a string, not a list: it cannot be exploded`,
		`standard input, line 5: the row has no column "q", of which each element is to become a row`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || found.Taken != 4 || found.Emptied != 1 {
		t.Errorf("%+v (-want +got):\n%s", found, diff)
	}
}

func TestRowsAreCountedWithoutADataset(t *testing.T) {
	s, rows := readSource(t, SourceOptions{Rows: 3})
	if diff := cmp.Diff([]string{`{"i":0}`, `{"i":1}`, `{"i":2}`}, rows); diff != "" || s.Name() != "rows" {
		t.Errorf("%s (-want +got):\n%s", s.Name(), diff)
	}
	if _, err := NewSource(SourceOptions{Rows: 3, Inputs: []string{"a"}}); err == nil {
		t.Error("rows and inputs are taken together")
	}
}

// FuzzColumns compares the columns of rows and the elements of lists with encoding/json.
func FuzzColumns(f *testing.F) {
	f.Add([]byte(`{"a": 1 , "b":[1,"]", [2] , {"c":"}"}],"":{}}`))
	f.Add([]byte(`{ "x" : [ ] , "y" : [ [ ] , null ] }`))
	f.Fuzz(func(t *testing.T, content []byte) {
		rows, complete := slowly(content)
		if !complete {
			return
		}
		for _, row := range rows {
			checkColumns(t, []byte(row))
		}
	})
}
