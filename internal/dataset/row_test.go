package dataset

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestColumnsKeepTheirOrder(t *testing.T) {
	for row, want := range map[string][]string{
		`{}`:                            {},
		` {"b":1 , "a" : [1,{"x":2}]} `: {"b", "a"},
		`{"\"}":{"c":"{,\"d\":"},"\\":"\\","e":""}`: {`"}`, `\`, "e"},
		`{"":0,"\u00e9":1}`:                         {"", "é"},
	} {
		got, err := Columns([]byte(row))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", row, err, diff)
		}
	}
	if _, err := Columns([]byte(`[1]`)); err == nil || !strings.HasPrefix(err.Error(), "row: is an array, not a JSON object") {
		t.Error(err)
	}
}

func TestAppendKeepsTheRowAsItCame(t *testing.T) {
	for _, c := range []struct{ row, want string }{
		{`{}`, `{"response": "<b> & \n", "n": null}`},
		{` { } `, `{"response": "<b> & \n", "n": null}`},
		{`{"z":1.0,"a": 1e400 }`, `{"z":1.0,"a": 1e400, "response": "<b> & \n", "n": null}`},
		{`{"a":{"response":1}}`, `{"a":{"response":1}, "response": "<b> & \n", "n": null}`},
	} {
		before := c.row
		got, err := Append([]byte(c.row), Field{"response", "<b> & \n"}, Field{"n", nil})
		if err != nil || string(got) != c.want || c.row != before {
			t.Errorf("%s became %s, %v\nwant %s", c.row, got, err, c.want)
		}
	}
}

func TestAppendRefusesAColumnThatIsThere(t *testing.T) {
	for _, c := range []struct {
		row    string
		fields []Field
		want   string
	}{
		{`{"response":1}`, []Field{{"response", 2}}, `the row has a column "response" already`},
		{`{"r\u0065sponse":1}`, []Field{{"response", 2}}, `the row has a column "response" already`},
		{`{}`, []Field{{"x<", 1}, {"x<", 2}}, `the row has a column "x<" already`},
		{`{}`, []Field{{"x", func() {}}}, `column "x": json: unsupported type: func()`},
		{`{`, nil, `row: the JSON object does not end on its line`},
	} {
		if _, err := Append([]byte(c.row), c.fields...); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.row, err, c.want)
		}
	}
}

// object draws a JSON object whose columns have the given names.
func object(t *rapid.T, names []string) []byte {
	row := []byte("{}")
	for _, name := range names {
		var value any
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			value = rapid.String().Draw(t, "text")
		case 1:
			value = json.Number(rapid.StringMatching(`-?[1-9][0-9]{0,30}(\.[0-9]{1,20})?`).Draw(t, "number"))
		case 2:
			value = map[string]any{rapid.String().Draw(t, "key"): []string{rapid.String().Draw(t, "element")}}
		}
		next, err := Append(row, Field{name, value})
		if err != nil {
			t.Fatalf("append %q to %s: %v", name, row, err)
		}
		row = next
	}
	return row
}

func TestAppendAndColumnsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 8, rapid.ID[string]).Draw(t, "names")
		row := object(t, names)
		got, err := Columns(row)
		if diff := cmp.Diff(names, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", row, err, diff)
		}
	})
}
