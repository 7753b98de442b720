package ollamasim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// textNoFormat is what Ollama says of a format that is none.
const textNoFormat = "invalid format: %q; expected \"json\" or a valid JSON Schema object"

// badFormat says what Ollama says of a request's format, or nothing.
func badFormat(format json.RawMessage) string {
	switch text := string(bytes.TrimSpace(format)); {
	case !isFormat(format), text == `"json"`:
		return ""
	case text[0] != '{':
		return fmt.Sprintf(textNoFormat, text)
	}
	var schema jsonSchema
	if json.Unmarshal(format, &schema) != nil {
		return "invalid JSON schema in format"
	}
	return ""
}

// isFormat reports whether a request asks for JSON.
func isFormat(format json.RawMessage) bool {
	return !slices.Contains([]string{"", "null", `""`}, string(bytes.TrimSpace(format)))
}

// A jsonSchema is what is heeded of a schema.
type jsonSchema struct {
	Ref        string                     `json:"$ref"`
	Type       any                        `json:"type"`
	Enum       []json.RawMessage          `json:"enum"`
	Const      json.RawMessage            `json:"const"`
	AnyOf      []json.RawMessage          `json:"anyOf"`
	OneOf      []json.RawMessage          `json:"oneOf"`
	Properties properties                 `json:"properties"`
	Items      json.RawMessage            `json:"items"`
	MinItems   int                        `json:"minItems"`
	MaxItems   *int                       `json:"maxItems"`
	MinLength  int                        `json:"minLength"`
	MaxLength  *int                       `json:"maxLength"`
	Minimum    *float64                   `json:"minimum"`
	Maximum    *float64                   `json:"maximum"`
	Defs       map[string]json.RawMessage `json:"$defs"`
	Older      map[string]json.RawMessage `json:"definitions"`
}

// properties are those of an object in the order in which they stand there, as in Ollama's answers.
type properties []property

type property struct {
	name   string
	schema json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *properties) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return fmt.Errorf("the properties are no object: %v", err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		next := property{name: fmt.Sprint(name)}
		if err := decoder.Decode(&next.schema); err != nil {
			return err
		}
		*p = append(*p, next)
	}
	return nil
}

// A jsonWriter makes up JSON: the same prompt, seed and format give the same.
type jsonWriter struct {
	writer
	root jsonSchema
}

// writeJSON returns the tokens of an answer in a format that badFormat has nothing against.
func writeJSON(prompt string, seed int, format json.RawMessage) []string {
	w := jsonWriter{writer: writer{r: rand.New(rand.NewPCG(hash("json", prompt), uint64(seed)))}}
	w.read(prompt)
	text := w.object(properties{{"answer", json.RawMessage(`{"type":"integer"}`)}, {"about", json.RawMessage(`{"type":"string"}`)}}, 0)
	if string(bytes.TrimSpace(format)) != `"json"` && json.Unmarshal(format, &w.root) == nil {
		text = w.value(format, 0)
	}
	var tokens []string
	for text != "" {
		size := min(4, len(text))
		for size < len(text) && !utf8.RuneStart(text[size]) {
			size++
		}
		tokens, text = append(tokens, text[:size]), text[size:]
	}
	return tokens
}

// maxMadeUp is how deeply made-up JSON is nested, at most.
const maxMadeUp = 8

// value makes up one value.
func (w *jsonWriter) value(text json.RawMessage, depth int) string {
	var s jsonSchema
	if json.Unmarshal(text, &s) != nil || depth > maxMadeUp { // it may be true
		return "null"
	}
	alternatives := slices.Concat(s.AnyOf, s.OneOf)
	switch {
	case s.Ref == "#":
		return w.value(w.other(&w.root), depth+1)
	case s.Ref != "":
		name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		return w.value(slices.Concat(w.root.Defs[name], w.root.Older[name]), depth+1)
	case len(s.Const) > 0:
		return compacted(s.Const)
	case len(s.Enum) > 0:
		return compacted(s.Enum[w.r.IntN(len(s.Enum))])
	case len(alternatives) > 0:
		return w.value(alternatives[w.r.IntN(len(alternatives))], depth+1)
	}
	kind := fmt.Sprint(s.Type)
	if kinds, ok := s.Type.([]any); ok && len(kinds) > 0 {
		kind = fmt.Sprint(kinds[w.r.IntN(len(kinds))])
	}
	switch kind {
	case "string":
		return w.text(s)
	case "integer":
		return fmt.Sprintf("%.0f", math.Ceil(w.within(s, float64(w.number()))))
	case "number":
		return fmt.Sprint(w.within(s, float64(w.number())+0.5))
	case "boolean":
		return fmt.Sprint(w.r.IntN(2) == 0)
	case "null":
		return "null"
	case "array":
		return w.array(s, depth)
	}
	return w.object(s.Properties, depth)
}

// other returns a schema as JSON, of which only the properties matter.
func (w *jsonWriter) other(s *jsonSchema) json.RawMessage {
	var list []string
	for _, p := range s.Properties {
		list = append(list, quote(p.name)+":"+string(p.schema))
	}
	return json.RawMessage(`{"type":"object","properties":{` + strings.Join(list, ",") + "}}")
}

func (w *jsonWriter) object(list properties, depth int) string {
	var members []string
	for _, p := range list {
		members = append(members, quote(p.name)+": "+w.value(p.schema, depth+1))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

func (w *jsonWriter) array(s jsonSchema, depth int) string {
	const some, most = 3, 100
	size := max(1+w.r.IntN(some), s.MinItems)
	if s.MaxItems != nil {
		size = min(size, *s.MaxItems)
	}
	var items []string
	for range max(min(size, most), 0) {
		item := quote(w.word())
		if len(s.Items) > 0 {
			item = w.value(s.Items, depth+1)
		}
		items = append(items, item)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// text makes up a text that is neither too long nor too short.
func (w *jsonWriter) text(s jsonSchema) string {
	const most = 1000
	text := w.word() + " and " + w.word()
	for least := min(s.MinLength, most); utf8.RuneCountInString(text) < least; {
		text += " and " + w.word()
	}
	if s.MaxLength != nil {
		runes := []rune(text)
		text = string(runes[:min(len(runes), max(*s.MaxLength, 0))])
	}
	return quote(text)
}

// within returns a number that is not beyond the bounds of a schema.
func (w *jsonWriter) within(s jsonSchema, number float64) float64 {
	if s.Maximum != nil {
		number = min(number, *s.Maximum)
	}
	if s.Minimum != nil {
		number = max(number, *s.Minimum)
	}
	return number
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // no text has a reason for that
		return `""`
	}
	return string(quoted)
}

func compacted(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return "null"
	}
	return b.String()
}
