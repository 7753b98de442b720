package schema

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// parsed returns a schema that is right.
func parsed(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

const answer = `{"type": "object", "properties": {"answer": {"type": "integer"}, "why": {"type": "string", "maxLength": 5}, "kind": {"enum": ["a", 1, null]}}, "required": ["answer"], "additionalProperties": false}`

func TestOnlyTheWrappingOfAnAnswerIsRepaired(t *testing.T) {
	const plain = `{"answer": 1}`
	for name, c := range map[string]struct{ answer, want string }{ // want "": malformed
		"plain":                        {plain, plain},
		"white space":                  {"\n\t {\"answer\": 1}\u00a0\r\n", plain},
		"a byte order mark":            {"\uFEFF" + plain, plain},
		"a fence":                      {"```json\n" + plain + "\n```", plain},
		"a fence without a language":   {"```\n" + plain + "\n```\n", plain},
		"a fence on one line":          {"```json " + plain + "```", plain},
		"capitals":                     {"```JSON\n" + plain + "\n```", plain},
		"sentences around a fence":     {"Sure! Here it is [as asked]:\n\n```json\n" + plain + "\n```\nLet me know.", plain},
		"a fence inside of a text":     {"```json\n{\"answer\": 1, \"why\": \"```\"}\n```", "{\"answer\": 1, \"why\": \"```\"}"},
		"a long fence":                 {"````json\n" + plain + "\n````", plain},
		"a fence of tildes":            {"~~~\n" + plain + "\n~~~", plain},
		"braces in a sentence":         {"For the set {1, 2}:\n```json\n" + plain + "\n```\nThat is f[x].", plain},
		"a fence of two kinds":         {"```json\n" + plain + "\n~~~", ""},
		"a fence that ends too short":  {"````json\n" + plain + "\n```", ""},
		"another answer behind it":     {"```json\n" + plain + "\n```\n[1]", ""},
		"numbers keep their text":      {`{"answer": 1.0E+0}`, `{"answer": 1.0E+0}`},
		"white space inside stays":     {"{ \"answer\"\n:\t1 }", "{ \"answer\"\n:\t1 }"},
		"a sentence without a fence":   {"Here it is: " + plain, ""},
		"a sentence behind":            {plain + " is the answer", ""},
		"two fences":                   {"```json\n" + plain + "\n```\n```json\n" + plain + "\n```", ""},
		"another answer before it":     {"{\"answer\": 2}\n```json\n" + plain + "\n```", ""},
		"a fence of another language":  {"```python\n" + plain + "\n```", ""},
		"a fence that does not end":    {"```json\n" + plain, ""},
		"two values in a fence":        {"```json\n" + plain + plain + "\n```", ""},
		"single quotes":                {`{'answer': 1}`, ""},
		"a comma too many":             {`{"answer": 1,}`, ""},
		"a comment":                    {`{"answer": 1 /* it */}`, ""},
		"NaN":                          {`{"answer": NaN}`, ""},
		"the key twice":                {`{"answer": 1, "answer": 1}`, ""},
		"the key twice, once escaped":  {`{"answer": 1, "\u0061nswer": 1}`, ""},
		"cut off":                      {`{"answer": 1`, ""},
		"nothing":                      {" \n", ""},
		"a fence around nothing":       {"```json\n```", ""},
		"only a fence":                 {"```", ""},
		"invalid UTF-8":                {"{\"answer\": 1, \"why\": \"\xff\"}", ""},
		"a number that is too large":   {`{"answer": 1e999999999}`, ""},
		"a number of too many digits":  {`{"answer": ` + strings.Repeat("1", 5000) + `}`, ""},
		"nested too deeply":            {strings.Repeat("[", 101) + strings.Repeat("]", 101), ""},
		"nested very deeply":           {strings.Repeat("[", 100000), ""},
		"JSON that does not fit":       {`[1]`, ""},
		"a fence, and it does not fit": {"```json\n[1]\n```", ""},
	} {
		got, err := parsed(t, answer).Check(c.answer)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
		if err != nil && len(err.Error()) > 700 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestAnErrorSaysWhereAndWhatInWords(t *testing.T) {
	long := strings.Repeat("long ", 10000)
	for _, c := range []struct{ schema, answer, want string }{
		{answer, `{"answer": "4"}`, "the answer does not fit the schema: at /answer: want integer, but got string"},
		{answer, `{}`, `the answer does not fit the schema: at /: there is no "answer"`},
		{answer, `{"answer": 1, "x/y": 2}`, `the answer does not fit the schema: at /: "x/y" may not be there`},
		{answer, `{"answer": 1, "kind": "` + long + `"}`, `the answer does not fit the schema: at /kind: want one of "a", 1, null, but got "long long long long long long long long long long long lo…"`},
		{answer, `{"answer": 1, "why": "` + long + `"}`, `the answer does not fit the schema: at /why: maxLength: got 50,000, want 5`},
		{`{"items": {"type": "null"}}`, `[1, 2, 3, 4, 5]`, "the answer does not fit the schema: at /0: want null, but got number; at /1: want null, but got number; at /2: want null, but got number; and 2 more"},
		{`{"type": ["string", "null"]}`, `7`, "the answer does not fit the schema: at /: want null or string, but got number"},
		{`{"properties": {"a~/b": {"pattern": "^x$"}}}`, `{"a~/b": "` + long + `"}`, `the answer does not fit the schema: at /a~0~1b: "long long long long long long long long long long long lo…" does not match the pattern "^x$"`},
		{`{"not": {}}`, `7`, "the answer does not fit the schema: at /: it fits what it may not fit (not)"},
		{`{"oneOf": [{}, {"type": "number"}]}`, `7`, "the answer does not fit the schema: at /: it fits more than one of oneOf: 0 and 1, counted from 0"},
		{`false`, `7`, "the answer does not fit the schema: at /: nothing may be there"},
		{`{"const": {"a": 1}}`, `7`, "the answer does not fit the schema: at /: want an object, but got 7"},
		{`{"$ref": "#"}`, `7`, "cycle"},
		{answer, "So it is\n4", "the answer is no JSON: invalid character 'S' looking for beginning of value (line 1, column 1)"},
		{answer, "{\n \"answer\": NaN}", "the answer is no JSON: invalid character 'N' looking for beginning of value (line 2, column 12)"},
		{answer, `{"answer": 1`, "the answer is no JSON: it ends too early, after 12 bytes"},
		{answer, `{"answer": 1, "answer": 2}`, `the answer is no JSON: at /: the key "answer" stands there twice`},
		{Any, ` [1e5000]`, `the answer is no JSON: at /0: the number "1e5000" has an exponent beyond 1000`},
	} {
		_, err := parsed(t, c.schema).Check(c.answer)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %.60s:\n got %v\nwant %s", c.schema, c.answer, err, c.want)
		}
		if err != nil && len(err.Error()) > 1200 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

func TestAnyJSONFitsTheWordJSON(t *testing.T) {
	for _, fits := range []string{`{}`, `[1, {"a": null}]`, `"text"`, `7`, "```json\n{\"a\": 1}\n```"} {
		if _, err := parsed(t, ` "json" `).Check(fits); err != nil {
			t.Errorf("%s: %v", fits, err)
		}
	}
	if _, err := parsed(t, Any).Check("seven"); err == nil {
		t.Error("a word is taken for JSON")
	}
}

func TestASchemaThatCannotBeUsedIsRefusedWithItsPlace(t *testing.T) {
	deep := strings.Repeat(`{"not":`, 70) + "{}" + strings.Repeat("}", 70)
	var many strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&many, `,"p%d":{"type":"null"}`, i)
	}
	for _, c := range []struct{ schema, want string }{
		{``, "it is empty"},
		{`{`, "it ends too early"},
		{`7`, "a schema is a JSON object"},
		{`"jsonx"`, "a schema is a JSON object"},
		{`{"type": "object", "type": "array"}`, `at /: the key "type" stands there twice`},
		{`{"properties": {"a": {"type": "int"}}}`, `at /properties/a/type: want one of`},
		{`{"$schema": "http://json-schema.org/draft-04/schema#"}`, "at /$schema:"},
		{`{"$schema": "http://json-schema.org/draft-06/schema"}`, "none of the drafts"},
		{`{"$schema": "https://example.com/mine"}`, "none of the drafts"},
		{`{"$schema": 7}`, "at /$schema: want string, but got number"},
		{`{"$defs": {"a": {"$id": "x", "$schema": "http://json-schema.org/draft-06/schema#"}}, "$ref": "#/$defs/a"}`, "at /$defs/a: draft 6 cannot be used"},
		{`{"properties": {"a": {"$ref": "other.json#/x"}}}`, `at /properties/a/$ref: the schema refers to "other.json", which`},
		{`{"properties": {"a": {"$ref": "http://127.0.0.1:1/other.json"}}}`, "outside of it"},
		{`{"$id": "http://127.0.0.1:1/dir/", "properties": {"a": {"$ref": "other.json"}}}`, `"http://127.0.0.1:1/dir/other.json"`},
		{`{"$ref": "file:///etc/passwd"}`, "outside of it"},
		{`{"$id": "file:///etc/", "$ref": "passwd"}`, "outside of it"},
		{`{"$ref": "https://json-schema.org/draft/2020-12/schema"}`, "outside of it"},
		{`{"$ref": "https://json-schema.org/draft/2020-12/meta/core#/$defs/anchorString"}`, "outside of it"},
		{`{"$dynamicRef": "http://127.0.0.1:1/x#meta"}`, "outside of it"},
		{`{"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "http://127.0.0.1:1/x"}`, "at /$recursiveRef: "},
		{`{"$ref": "#/$defs/none"}`, "not found"},
		{`{"properties": {"a": {"pattern": "^(?!x)"}}}`, `at /properties/a/pattern: the pattern "^(?!x)" cannot be used`},
		{`{"properties": {"a": {"pattern": "(?<=x)y"}}}`, "look-ahead and look-behind"},
		{`{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"pattern": "(?=x)"}}}`, `at /properties/a/pattern: the pattern "(?=x)" cannot be used`},
		{`{"patternProperties": {"(x": {}}}`, `the pattern "(x" cannot be used`},
		{`{"pattern": "(a?){900}(b?){900}(c?){900}(d?){900}"}`, "the limit is 5000"},
		{`{"minimum": 1e999999}`, "exponent"},
		{`{"multipleOf": 0}`, "at /multipleOf"},
		{`{"title": "` + strings.Repeat("x", MaxBytes) + `"}`, "the limit is 65536"},
		{deep, "nested too deeply"},
		{`{"properties": {"a": {}` + many.String() + `}}`, "more than 2000 parts"},
	} {
		_, err := Parse([]byte(c.schema))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s:\n got %v\nwant %s", c.schema, err, c.want)
		}
		if err != nil && (len(err.Error()) > 1200 || strings.Contains(err.Error(), "gleaner:")) {
			t.Errorf("the error of %.80s has %d bytes: %v", c.schema, len(err.Error()), err)
		}
	}
}

func TestFormatsAreNotChecked(t *testing.T) {
	for _, draft := range []string{"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema"} {
		s := parsed(t, `{"$schema": "`+draft+`", "type": "string", "format": "date", "contentEncoding": "base64"}`)
		if _, err := s.Check(`"yesterday"`); err != nil {
			t.Errorf("%s: %v", draft, err)
		}
	}
}

func TestReferencesWithinASchemaAreFollowed(t *testing.T) {
	tree := parsed(t, `{"$id": "https://example.com/tree", "$defs": {"n": {"$id": "node", "type": "object", "properties": {"next": {"$ref": "node"}, "v": {"$ref": "/tree#/$defs/v"}}}, "v": {"$anchor": "v", "type": "integer"}}, "$ref": "node"}`)
	if _, err := tree.Check(`{"v": 1, "next": {"v": 2, "next": {}}}`); err != nil {
		t.Error(err)
	}
	if _, err := tree.Check(`{"v": 1, "next": {"v": 2, "next": {"v": "3"}}}`); err == nil || !strings.Contains(err.Error(), "at /next/next/v") {
		t.Error(err)
	}
}

// hostile are schemas and answers for which the time of a plain check doubles with each level, or
// is the product of their lengths.
func hostile() map[string][2]string {
	nested := strings.Repeat(`{"a":`, 90) + "1" + strings.Repeat("}", 90)
	var ladder strings.Builder
	for i := range 30 {
		fmt.Fprintf(&ladder, `"l%d": {"anyOf": [{"$ref": "#/$defs/l%d"}, {"$ref": "#/$defs/l%d"}]},`, i, i+1, i+1)
	}
	return map[string][2]string{
		"alternatives that both recur":         {`{"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}, {"properties": {"a": {"$ref": "#"}}, "required": ["c"]}]}`, nested},
		"the same where only the result tells": {`{"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "object", "anyOf": [{"properties": {"a": {"$ref": "#/$defs/a"}}}, {"properties": {"a": {"$ref": "#/$defs/a"}}}]}}}`, nested},
		"a ladder of references":               {`{"$ref": "#/$defs/l0", "$defs": {` + ladder.String() + `"l30": {"type": "string"}}}`, "1"},
		"the same in draft 7":                  {`{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/$defs/l0", "$defs": {` + ladder.String() + `"l30": {"type": "string"}}}`, "1"},
		"a dynamic ladder":                     {`{"$dynamicAnchor": "x", "anyOf": [{"properties": {"a": {"$dynamicRef": "#x"}}, "required": ["b"]}, {"properties": {"a": {"$dynamicRef": "#x"}}, "required": ["b"]}]}`, nested},
		"a pattern that backtracks":            {`{"pattern": "^(([a-z]+)+|b{0,900})+$"}`, `"` + strings.Repeat("a", 400_000) + `!"`},
		"patterns for each key":                {`{"patternProperties": {"(a|b|c|d){1,500}x": true, "(a|b|c){1,500}y": true}}`, `{"` + strings.Repeat("ab", 200_000) + `": 1}`},
		"many numbers that differ":             {`{"uniqueItems": true, "items": {"enum": [` + strings.Repeat("1e900,", 1000) + `2]}}`, "[" + strings.Repeat("1e901,", 60_000) + "1]"},
		"many errors":                          {`{"items": {"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "object"}]}}`, "[" + strings.Repeat("1,", 250_000) + "1]"},
	}
}

func TestNoPairOfSchemaAndAnswerTakesLong(t *testing.T) {
	for name, pair := range hostile() {
		s := parsed(t, pair[0])
		began := time.Now()
		_, err := s.Check(pair[1])
		took := time.Since(began)
		t.Logf("%s: %v, %.100v", name, took.Round(time.Millisecond), err)
		if took > 30*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		if err != nil && len(err.Error()) > 1200 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestNoSchemaTakesLongToRead(t *testing.T) {
	repeat := func(before, each, after string) string {
		return before + strings.Repeat(each, (MaxBytes-len(before)-len(after))/len(each)) + after
	}
	var anchors, references strings.Builder
	for i := range 900 {
		fmt.Fprintf(&anchors, `{"$dynamicAnchor": "a%d"},`, i)
		fmt.Fprintf(&references, `"a%d": {"$ref": "#/$defs/a%d"},`, i, i+1)
	}
	for name, text := range map[string]string{
		"many values":           repeat(`{"enum": [`, "[],", "1]}"),
		"many schemas":          repeat(`{"allOf": [`, "{},", "true]}"),
		"many anchors":          `{"$defs": {"x": {"anyOf": [` + anchors.String() + `{}]}}, "enum": [` + anchors.String() + `1]}`,
		"a chain of references": `{"$ref": "#/$defs/a0", "$defs": {` + references.String() + `"a900": {}}}`,
		"many patterns":         repeat(`{"allOf": [`, `{"pattern":"(a?){900}"},`, "true]}"),
		"deep nesting":          repeat("", "[", ""),
	} {
		began := time.Now()
		s, err := Parse([]byte(text))
		t.Logf("%s: %v, %.200v", name, time.Since(began).Round(time.Millisecond), err)
		if err == nil {
			_, err = s.Check("[1]")
			t.Logf("%s: %v, %.200v", name, time.Since(began).Round(time.Millisecond), err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

func TestALargeAnswerIsNotTooMuch(t *testing.T) {
	s := parsed(t, `{"type": "array", "uniqueItems": true, "items": {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string", "pattern": "^[a-z]+$"}, "kind": {"enum": ["a", "b", "c"]}}, "required": ["id", "name"], "additionalProperties": false}}`)
	var items []string
	for i := range 9000 {
		items = append(items, fmt.Sprintf(`{"id": %d, "name": "somebody", "kind": "b"}`, i))
	}
	if _, err := s.Check("[" + strings.Join(items, ",") + "]"); err != nil {
		t.Error(err)
	}
}

func TestSeveralGoroutinesUseOneSchema(t *testing.T) {
	s := parsed(t, answer)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 200 {
				if _, err := s.Check(fmt.Sprintf(`{"answer": %d}`, i)); err != nil {
					t.Error(err)
				}
				if _, err := s.Check(`{"answer": "x"}`); err == nil {
					t.Error("a text is taken for an integer")
				}
			}
		})
	}
	all.Wait()
}

func FuzzCheck(f *testing.F) {
	f.Add(answer, `{"answer": 1}`)
	f.Add(Any, "```json\n[1]\n```")
	f.Add(`{"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"pattern": "x"}, {"multipleOf": 0.1}]}}}`, `[1, "x", -0.3]`)
	f.Add(`{"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}, "contains": {"const": 1}}`, `{"a": 1e9}`)
	f.Add(`{"$dynamicAnchor": "x", "unevaluatedProperties": {"$dynamicRef": "#x"}}`, `{"a": {"b": {}}}`)
	f.Fuzz(func(t *testing.T, schema, answer string) {
		s, err := Parse([]byte(schema))
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes: %v", len(err.Error()), err)
			}
			s = &Schema{}
		}
		repaired, err := s.Check(answer)
		switch {
		case err != nil && len(err.Error()) > 2000:
			t.Errorf("an error of %d bytes: %v", len(err.Error()), err)
		case err == nil && !strings.Contains(answer, repaired):
			t.Errorf("%q became %q", answer, repaired)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	s := parsed(b, answer)
	for b.Loop() {
		if _, err := s.Check(`{"answer": 42, "why": "so", "kind": null}`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		parsed(b, answer)
	}
}
