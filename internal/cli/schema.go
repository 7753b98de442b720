package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/schema"
)

// readSchema returns the schema that a flag's text asks for, as compact JSON: the word json for any
// JSON, a JSON Schema, or the path of a file that holds one, which it reads until ctx ends. The
// empty text asks for none.
func readSchema(ctx context.Context, asked string) (json.RawMessage, error) {
	text, from := strings.TrimSpace(asked), ""
	switch {
	case text == "":
		return nil, nil
	case text == "json":
		return json.RawMessage(pipeline.AnyJSON), nil
	case text[0] != '{':
		var err error
		from = asked + ": "
		if text, err = readFile(ctx, asked, "schema"); err != nil {
			return nil, &pipeline.SpecError{Field: "schema", Problem: fmt.Sprintf("%v: it takes a file, a JSON Schema that begins with {, or the word json", err)}
		}
		text = strings.TrimSpace(strings.TrimPrefix(text, "\uFEFF"))
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) == nil { // else Parse says why not
		text = compact.String()
	}
	if _, err := schema.Parse([]byte(text)); err != nil {
		return nil, &pipeline.SpecError{Field: "schema", Problem: from + err.Error()}
	}
	return json.RawMessage(text), nil
}
