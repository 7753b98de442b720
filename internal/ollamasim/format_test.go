package ollamasim

import (
	"encoding/json"
	"strings"
	"testing"

	"gleaner/internal/schema"
)

func TestMadeUpJSONFitsSimpleSchemas(t *testing.T) {
	for _, format := range []string{
		`"json"`,
		`{}`,
		`{"type":"object","properties":{"z":{"type":"integer","minimum":-3,"maximum":4},"a":{"type":"number","maximum":0.5},"é":{"type":"string","maxLength":7},"b":{"type":"boolean"},"n":{"type":"null"}},"required":["z","a","é","b","n"],"additionalProperties":false}`,
		`{"type":"array","minItems":2,"maxItems":4,"items":{"enum":["x",1,null,{"a":[]}]}}`,
		`{"type":"object","properties":{"items":{"type":"array","items":{"$ref":"#/$defs/item"}},"kind":{"const":"list"}},"required":["items","kind"],"$defs":{"item":{"type":"object","properties":{"name":{"type":"string","minLength":30},"sub":{"anyOf":[{"type":"null"},{"type":"integer"}]}},"required":["name","sub"]}}}`,
		`{"type":["string","null"]}`,
	} {
		s, err := schema.Parse([]byte(format))
		if err != nil {
			t.Fatal(err)
		}
		different := map[string]bool{}
		for seed := range 50 {
			tokens := writeJSON("A farmer has 17 sheep and buys 5 more.", seed, json.RawMessage(format))
			text := strings.Join(tokens, "")
			if again := strings.Join(writeJSON("A farmer has 17 sheep and buys 5 more.", seed, json.RawMessage(format)), ""); again != text {
				t.Errorf("seed %d gives %s and %s", seed, text, again)
			}
			if repaired, err := s.Check(text); err != nil || repaired != text {
				t.Errorf("%s: %s: %v", format, text, err)
			}
			different[text] = true
		}
		if len(different) < 2 && format != "{}" {
			t.Errorf("%s: every seed gives the same", format)
		}
	}
}

func TestPropertiesKeepTheirOrder(t *testing.T) {
	text := strings.Join(writeJSON("x", 1, json.RawMessage(`{"type":"object","properties":{"z":{"type":"null"},"a":{"type":"null"},"m":{"type":"null"}}}`)), "")
	if text != `{"z": null, "a": null, "m": null}` {
		t.Error(text)
	}
}

// A schema may be made by anyone.
func TestStrangeSchemasGiveSomeAnswer(t *testing.T) {
	for _, format := range []string{
		`{"$ref":"#"}`, `{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}}}`, `{"type":"object","properties":{"a":{"$ref":"#"}}}`,
		`{"type":"array","minItems":1000000000,"items":{"type":"array","minItems":-5}}`, `{"type":"string","minLength":1000000000,"maxLength":-1}`,
		`{"type":7}`, `{"type":"object","properties":{"a":true,"b":false}}`, `{"type":[]}`, `{"enum":[]}`, `{"type":"integer","minimum":1e300}`,
	} {
		if problem := badFormat(json.RawMessage(format)); problem != "" {
			continue
		}
		if text := strings.Join(writeJSON("x", 1, json.RawMessage(format)), ""); !json.Valid([]byte(text)) || len(text) > 1<<20 {
			t.Errorf("%s: %.100s", format, text)
		}
	}
	for format, want := range map[string]string{`true`: "invalid format", `"xml"`: "invalid format", `{"properties":7}`: "invalid JSON schema in format", `null`: "", `""`: ""} {
		if got := badFormat(json.RawMessage(format)); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", format, got)
		}
	}
}
