// Package schema says whether the answer of a model fits a JSON Schema of drafts 7, 2019-09 and
// 2020-12, and takes the wrapping off that models like to put around JSON.
//
// A schema is one document: it refers to nothing outside of it. Formats, such as "date", and
// encodings are annotations, as these drafts have it by default, and are not checked. Patterns are
// those of RE2, which takes time in proportion to the text. What schema and answer may be together
// is bounded, so that no pair of them takes long.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits of a schema.
const (
	MaxBytes = 64 << 10 // of its text

	maxSchemaDepth  = 64    // of its nesting
	maxSchemaValues = 10000 // values in it
	maxSubschemas   = 2000  // that are in use, so that the depth of a check is bounded
)

// Any is the text of the schema that every JSON value fits.
const Any = `"json"`

// A Schema is what answers have to fit. It may be used by several goroutines at once.
type Schema struct {
	doc    any // the schema as JSON; nil: any JSON value fits
	draft  *jsonschema.Draft
	checks sync.Pool // of *validator
}

// Parse returns the schema that a text describes: a JSON Schema, or the text Any. The draft is that
// of "$schema", by default 2020-12. The error names the place of what cannot be used: JSON that is
// broken, has duplicate keys or is too large, another draft, a reference to something outside, a
// pattern that RE2 does not have.
func Parse(text []byte) (*Schema, error) {
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte(bom))
	if string(text) == Any {
		return &Schema{}, nil
	}
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("the schema has %d bytes, the limit is %d", len(text), MaxBytes)
	}
	doc, err := decode(string(text), maxSchemaDepth, maxSchemaValues)
	if err != nil {
		return nil, fmt.Errorf("the schema is no JSON that can be used: %w", err)
	}
	s := &Schema{doc: doc}
	if s.draft, err = draftOf(doc); err != nil {
		return nil, err
	}
	first, err := s.compile()
	if err != nil {
		return nil, err
	}
	s.checks.Put(first)
	return s, nil
}

// drafts are those that can be used, by the address that names them in "$schema".
func drafts() map[string]*jsonschema.Draft {
	return map[string]*jsonschema.Draft{
		"json-schema.org/draft-07/schema":      jsonschema.Draft7,
		"json-schema.org/draft/2019-09/schema": jsonschema.Draft2019,
		"json-schema.org/draft/2020-12/schema": jsonschema.Draft2020,
	}
}

// draftOf returns the draft that a schema names.
func draftOf(doc any) (*jsonschema.Draft, error) {
	switch doc := doc.(type) {
	case bool:
		return jsonschema.Draft2020, nil
	case map[string]any:
		named, ok := doc["$schema"].(string)
		if !ok { // one that is no text is refused by the meta-schema
			return jsonschema.Draft2020, nil
		}
		_, address, _ := strings.Cut(strings.TrimSuffix(named, "#"), "://")
		if draft := drafts()[address]; draft != nil {
			return draft, nil
		}
		return nil, fmt.Errorf("at /$schema: %s is none of the drafts that can be used: "+
			"http://json-schema.org/draft-07/schema#, https://json-schema.org/draft/2019-09/schema and https://json-schema.org/draft/2020-12/schema (which is meant without $schema)", quoted(named))
	}
	return nil, errors.New("a schema is a JSON object, or true or false")
}

// Check says whether an answer is JSON that fits the schema, and returns that JSON as it stands in
// the answer. White space, a byte order mark and one Markdown fence around it are left out, with
// the sentences before and after the fence; nothing inside the JSON is changed. The error says in a
// few words what does not fit, and where.
func (s *Schema) Check(answer string) (repaired string, err error) {
	repaired = unwrap(answer)
	value, err := decode(repaired, maxAnswerDepth, maxAnswerValues)
	if err != nil {
		return "", fmt.Errorf("the answer is no JSON: %w", err)
	}
	if s.doc == nil {
		return repaired, nil
	}
	v, err := s.take()
	if err != nil {
		return "", err
	}
	defer s.checks.Put(v)
	if err := v.validate(value); err != nil {
		return "", err
	}
	return repaired, nil
}

// take returns a validator for the use of one goroutine.
func (s *Schema) take() (*validator, error) {
	if v, ok := s.checks.Get().(*validator); ok {
		return v, nil
	}
	return s.compile()
}
