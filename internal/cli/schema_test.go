package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

func TestASchemaIsAFileOrJSONOrAWord(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const compact = `{"type":"object","properties":{"<b>":{"type":"integer"}}}`
	pretty := "\uFEFF{\n  \"type\": \"object\",\n  \"properties\": {\"<b>\": {\"type\": \"integer\"}}\n}\n"
	for _, c := range []struct{ flag, want, says string }{
		{"", "", ""},
		{"json", `"json"`, ""},
		{compact, compact, ""},
		{" {\"type\": \"object\",\n \"properties\": {\"<b>\": {\"type\": \"integer\"}}}", compact, ""},
		{file("pretty.json", pretty), compact, ""},
		{file("spaces.json", strings.Repeat(" ", pipeline.MaxSchemaBytes)+"{}"), "{}", ""},
		{`{"type": "int"}`, "", "schema: the schema is not one of its draft: at /type: want "},
		{`{'type': 'object'}`, "", "schema: the schema is no JSON that can be used: invalid character '\\''"},
		{file("broken.json", "{\n\"type\": object}"), "", "broken.json: the schema is no JSON that can be used: invalid character 'o' looking for beginning of value (line 2, column 9)"},
		{file("remote.json", `{"$ref": "https://example.com/x.json"}`), "", "remote.json: at /$ref: the schema refers to"},
		{file("true.json", `true`), "", "schema: is no JSON object"},
		{file("empty.json", ``), "", "empty.json: the schema is no JSON that can be used: it is empty"},
		{file("large.json", `{"title":"`+strings.Repeat("x", pipeline.MaxSchemaBytes)+`"}`), "", "the limit is 65536"},
		{file("huge.json", strings.Repeat(" ", 2<<20)), "", "is it a schema?"},
		{filepath.Join(dir, "none.json"), "", "it takes a file, a JSON Schema that begins with {, or the word json"},
		{"object", "", "it takes a file"},
	} {
		spec, err := specOf(t, "--model=m", "--field=q", "--schema="+c.flag)
		if err == nil {
			err = spec.Validate()
		}
		var bad *pipeline.SpecError
		switch {
		case c.says == "" && (err != nil || string(spec.Options.Schema) != c.want):
			t.Errorf("%.60q: %q, %v; want %s", c.flag, spec.Options.Schema, err, c.want)
		case c.says != "" && (!errors.As(err, &bad) || bad.Field != "schema" || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%.60q: %v; want %s", c.flag, err, c.says)
		}
	}
}

func TestAnAnswerWithItsThinkingFitsNoSchema(t *testing.T) {
	spec, err := specOf(t, "--model=m", "--field=q", "--schema=json", "--raw")
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(); err == nil || !strings.HasPrefix(err.Error(), "raw: ") {
		t.Error(err)
	}
}
