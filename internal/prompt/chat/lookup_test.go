package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAPathLeadsToAValueAsItStandsThere(t *testing.T) {
	const row = ` {"data": {"question": "Why?", "a.b": {"c": 1.50}, "n": null}, "a.b": "whole", "a": {"b": "path", "x": true},
		"turns": [{"text": "first"}, {"text": "sec\u006fnd", "list": [[1, 2], []]}], "qu\"ote": "\\", "": {"": 7}, "é": "\u00e9", "Question Text": "t",
		"same": 1, "same": {"k": 2}, "x.y": {"w": 1}, "x": {"y": {"z": 3}}, "0": "zero"} `
	for path, want := range map[string]string{
		"data.question": `"Why?"`, "data": `{"question": "Why?", "a.b": {"c": 1.50}, "n": null}`, "data.n": "null", "data.a.b.c": "1.50", "data.a.b": `{"c": 1.50}`,
		"a.b": `"whole"`, "a.x": "true", "turns.0.text": `"first"`, "turns.1.text": `"sec\u006fnd"`, "turns.1.list.0.1": "2", "turns.1.list.1": "[]", `qu"ote`: `"\\"`,
		"": `{"": 7}`, ".": "7", "é": `"\u00e9"`, "Question Text": `"t"`, "same": `{"k": 2}`, "same.k": "2", "x.y.z": "3", "x.y.w": "1", "0": `"zero"`,
	} {
		if got, ok, err := Lookup([]byte(row), path); err != nil || !ok || string(got) != want {
			t.Errorf("%q leads to %s, %t, %v; want %s", path, got, ok, err, want)
		}
	}
	for _, path := range []string{"question", "data.", "data.question.x", "data.n.x", "turns.2", "turns.-1", "turns.+1", "turns.01", "turns.x", "turns.1.list.1.0", "turns.99999999999999999999", "a.b.c", "Data", "x.y.q", "..", "turns.", "a..b"} {
		if got, ok, err := Lookup([]byte(row), path); err != nil || ok || got != nil {
			t.Errorf("%q leads to %s, %t, %v", path, got, ok, err)
		}
	}
}

func TestABrokenRowIsAnError(t *testing.T) {
	for _, row := range []string{"", " ", "[]", "5", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1,`, `{"a":"x`, `{"a":[1}`, `{5:1}`, `{"\x":1}`, `{"a":,}`, `{"a":"\"`, "{\"a\":1,\"b\n\":2}"} {
		if got, ok, err := Lookup([]byte(row), "b"); err == nil || ok {
			t.Errorf("%s: %s, %t", row, got, ok)
		}
	}
	for _, row := range []string{`{"a":[1 2]}`, `{"a":[`, `{"a":[1,,2]}`} {
		if got, ok, err := Lookup([]byte(row), "a.1"); err == nil || ok {
			t.Errorf("%s: %s, %t", row, got, ok)
		}
	}
}

func TestATextIsATextOrANumberAsItCame(t *testing.T) {
	for value, want := range map[string]string{
		`"a"`: "a", `""`: "", `"a\n\"b\" \u00e9 é"`: "a\n\"b\" é é", "1.50": "1.50", "12345678901234567890": "12345678901234567890", "1e400": "1e400", "-0": "-0", "true": "true", "false": "false",
		`"\ud83d"`: "\uFFFD", `"\ud83d\ude00"`: "😀", ` "a" `: "a", "\"a\x7fb\"": "a\x7fb", "\"\xff\"": "\uFFFD",
	} {
		if got, err := Text(json.RawMessage(value)); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", value, got, err, want)
		}
	}
	for value, want := range map[string]string{
		"null": "is null", "[]": "is a list of 0, not text", `[1,[2],"]"]`: "is a list of 3, not text", "{}": "is an object with nothing in it, not text",
		`{"b":1,"a":{"c":2}}`: "is an object with b, a, not text", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`: "is an object with a, b, c, d, e, f, g, h, …, not text",
	} {
		_, err := Text(json.RawMessage(value))
		var not *NotTextError
		if !errors.As(err, &not) || err.Error() != want {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	for _, value := range []string{"", "  ", "tru", "nul", "01", "1.", "-", `"a`, `"`, `"a" "b"`, "\"a\nb\"", `"\x"`, "[", "{", "x"} {
		if got, err := Text(json.RawMessage(value)); err == nil {
			t.Errorf("%s is %q", value, got)
		}
	}
}

// lookup is Lookup by encoding/json.
func lookup(value json.RawMessage, path string, top bool) json.RawMessage {
	if list := []json.RawMessage(nil); !top && json.Unmarshal(value, &list) == nil && list != nil {
		number, rest, more := strings.Cut(path, ".")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(list) || strconv.Itoa(n) != number {
			return nil
		}
		if !more {
			return list[n]
		}
		return lookup(list[n], rest, false)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(value, &object) != nil {
		return nil
	}
	if found, ok := object[path]; ok {
		return found
	}
	var keys []string
	for key := range object {
		if strings.HasPrefix(path, key+".") {
			keys = append(keys, key)
		}
	}
	sort.Slice(keys, func(i, j int) bool { return len(keys[i]) > len(keys[j]) })
	for _, key := range keys {
		if found := lookup(object[key], path[len(key)+1:], false); found != nil {
			return found
		}
	}
	return nil
}

func anyValue(depth int) *rapid.Generator[any] {
	scalar := rapid.OneOf(rapid.Just[any](nil), rapid.Just[any](true), rapid.Map(rapid.Int(), func(n int) any { return n }),
		rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
		rapid.Map(rapid.StringOf(rapid.RuneFrom([]rune{'a', '"', '\\', '{', '}', '[', ']', ',', ':', '.', 'é', '\n', 0x2028})), func(s string) any { return s }))
	if depth == 0 {
		return scalar
	}
	inner := anyValue(depth - 1)
	key := rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', '0', '1', '.', '"', '\\', 'é'}), 0, 3, -1)
	return rapid.OneOf(scalar, rapid.Map(rapid.SliceOfN(inner, 0, 3), func(s []any) any { return s }), rapid.Map(rapid.MapOfN(key, inner, 0, 5), func(m map[string]any) any { return m }))
}

func TestLookupFindsWhatEncodingJSONFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOfN(rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', '0', '.', '"', '\\', 'é'}), 0, 3, -1), anyValue(3), 0, 6).Draw(t, "row")
		row, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "spread") {
			var spread bytes.Buffer
			if err := json.Indent(&spread, row, "\t", " "); err != nil {
				t.Fatal(err)
			}
			row = spread.Bytes()
		}
		path := rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', '0', '1', '.', '"', '\\', 'é'}), 0, 7, -1).Draw(t, "path")
		want := lookup(row, path, true)
		got, ok, err := Lookup(row, path)
		if err != nil || ok != (want != nil) || !bytes.Equal(got, want) {
			t.Fatalf("%q in %s leads to %s, %t, %v; want %s", path, row, got, ok, err, want)
		}
		if !ok {
			return
		}
		text, err := Text(got)
		var wanted any
		decoder := json.NewDecoder(bytes.NewReader(got))
		decoder.UseNumber()
		if decoder.Decode(&wanted) != nil {
			t.Fatal("what was found is no JSON")
		}
		switch v := wanted.(type) {
		case string:
			if text != v || err != nil {
				t.Fatalf("text %q, %v; want %q", text, err, v)
			}
		case json.Number, bool:
			if text != string(got) || err != nil {
				t.Fatalf("text %q, %v; want %s", text, err, got)
			}
		default:
			if err == nil {
				t.Fatalf("%s is text: %q", got, text)
			}
		}
	})
}

// benchRow has the size and the columns of the bench's rows.
func benchRow() []byte {
	return []byte(`{"id":123456,"source":"made for a measurement","level":3,"question":"A farmer has 17 sheep and buys 5 more, then sells 4 of them on the market, and his ` +
		`neighbor brings back two that had run away over the hills in spring. How many sheep does the farmer have in the end, if none of them has lambs?",` +
		`"answer":"17 + 5 = 22 sheep. He sells 4, so that 18 are left. Two come back, which makes 20 in all. The answer is therefore 20, as none of them has lambs. #### 20",` +
		`"meta":{"tags":["math","grade school"],"score":0.75,"split":"train","license":"CC0"},"created":"2026-11-29T12:00:00Z"}`)
}

func BenchmarkLookupAndText(b *testing.B) {
	row := benchRow()
	for _, path := range []string{"question", "meta.split"} {
		b.Run(path, func(b *testing.B) {
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				value, ok, err := Lookup(row, path)
				if err != nil || !ok {
					b.Fatal(ok, err)
				}
				if _, err := Text(value); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	chat := json.RawMessage(`[{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Name a metal."}, {"from": "gpt", "value": "Iron."}, {"from": "human", "value": "Another one, with a long reason?"}]`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(chat); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "chats/s")
}

func FuzzLookup(f *testing.F) {
	f.Add(benchRow(), "meta.tags.0")
	f.Add([]byte(`{"a.b":{"c":[1,{"":"\u0000"}]},"a":{"b":2}}`), "a.b.c.1.")
	f.Add([]byte(`{"a":"\"`), "a")
	f.Add([]byte(`{"a":[{"b":1,}`), "a.0.b")
	f.Fuzz(func(t *testing.T, row []byte, path string) {
		got, ok, err := Lookup(row, path)
		if ok != (got != nil) || ok && err != nil {
			t.Errorf("%q, %t, %v", got, ok, err)
		}
		if json.Valid(row) && bytes.HasPrefix(bytes.TrimLeft(row, whitespace), []byte("{")) {
			if err != nil {
				t.Errorf("of a row that is right: %v", err)
			}
			if want := lookup(row, path, true); !bytes.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		for _, value := range []json.RawMessage{got, row} {
			text, err := Text(value)
			var want string
			if json.Unmarshal(value, &want) == nil && !isNull(bytes.Trim(value, whitespace)) && (err != nil || text != want) {
				t.Errorf("text %q, %v; want %q", text, err, want)
			}
		}
	})
}

// The seeds of a fuzz test are no proof that the right thing is compared.
func TestLookupByEncodingJSONKnowsLists(t *testing.T) {
	if diff := cmp.Diff("2", string(lookup(json.RawMessage(`{"a":[1,2]}`), "a.1", true))); diff != "" {
		t.Error(diff)
	}
}
