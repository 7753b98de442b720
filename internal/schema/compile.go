package schema

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// address is that of the schema's document, for references within it, and opposite that of a
// schema that everything fits which does not fit the first one.
const (
	address  = "gleaner:///schema"
	opposite = "gleaner:///opposite"
)

// How many instructions patterns may have for RE2's machine: the time of a match is in proportion
// to those of one, and the memory of a schema to those of all.
const (
	maxPattern  = 5000
	maxPatterns = 100_000 // draft 7 counts twice
)

// errOutside is why nothing is loaded.
var errOutside = errors.New("it is outside of the schema")

// A noLoader loads nothing.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) { return nil, errOutside }

// compile returns a validator of its own. An error is about the schema.
func (s *Schema) compile() (v *validator, err error) {
	defer func() {
		if recover() != nil { // the library's, for which some input was too strange
			v, err = nil, errors.New("the schema cannot be used: what it says makes no sense to the library that reads it")
		}
	}()
	v = &validator{}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(s.draft)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(v.pattern)
	if err := c.AddResource(address, s.doc); err != nil {
		return nil, fmt.Errorf("the schema cannot be used: %s", shortened(err.Error()))
	}
	if err := c.AddResource(opposite, map[string]any{"not": map[string]any{"$ref": address}}); err != nil {
		return nil, fmt.Errorf("the schema cannot be used: %s", shortened(err.Error()))
	}
	if v.root, err = c.Compile(address); err != nil {
		return nil, s.refusal(err)
	}
	entries := []*jsonschema.Schema{v.root}
	for _, pointer := range anchors(s.doc, "") { // which may be reached by $dynamicRef only
		if entry, err := c.Compile(address + "#" + pointer); err == nil {
			entries = append(entries, entry)
		}
	}
	if v.verdict, err = c.Compile(opposite); err != nil {
		return nil, s.refusal(err)
	}
	return v, v.prepare(entries)
}

// anchors returns where a document may have schemas that a reference finds while it checks.
func anchors(doc any, pointer string) (pointers []string) {
	switch doc := doc.(type) {
	case map[string]any:
		_, dynamic := doc["$dynamicAnchor"].(string)
		if recursive, _ := doc["$recursiveAnchor"].(bool); dynamic || recursive {
			pointers = append(pointers, pointer)
		}
		for key, value := range doc {
			pointers = append(pointers, anchors(value, pointer+"/"+url.PathEscape(escaped(key)))...)
		}
	case []any:
		for i, value := range doc {
			pointers = append(pointers, anchors(value, fmt.Sprintf("%s/%d", pointer, i))...)
		}
	}
	return pointers
}

// pattern makes a matcher that counts what it costs.
func (v *validator) pattern(text string) (jsonschema.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxPattern {
		return nil, fmt.Errorf("it takes %d steps for each letter, the limit is %d", len(program.Inst), maxPattern)
	}
	if v.steps += len(program.Inst); v.steps > maxPatterns {
		return nil, fmt.Errorf("all patterns together take more than %d steps for each letter", maxPatterns)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &matcher{Regexp: compiled, steps: len(program.Inst), of: v}, nil
}

// refusal says in the words of this package why a schema was not compiled.
func (s *Schema) refusal(err error) error {
	var (
		load    *jsonschema.LoadURLError
		pattern *jsonschema.InvalidRegexError
		invalid *jsonschema.SchemaValidationError
		wrong   *jsonschema.ValidationError
	)
	switch {
	case errors.As(err, &load):
		return s.outside(load.URL)
	case errors.As(err, &pattern):
		return badPattern(strings.TrimPrefix(pattern.URL, address+"#"), pattern.Regex, pattern.Err)
	case errors.As(err, &invalid) && errors.As(invalid.Err, &wrong):
		for _, leaf := range leaves(wrong) {
			if expression, why := notRegex(leaf); why != nil {
				return badPattern(locate(leaf.InstanceLocation), expression, why)
			}
		}
		return fmt.Errorf("the schema is not one of its draft: %w", complaint(wrong))
	}
	return fmt.Errorf("the schema cannot be used: %s", shortened(strings.ReplaceAll(err.Error(), address, "")))
}

// outside refuses a schema that refers to something outside of it. It names the place where it can
// be told: references may be relative.
func (s *Schema) outside(target string) error {
	where := ""
	target = strings.TrimPrefix(target, address[:len(address)-len("schema")]) // which is ours, and means nothing to people
	file := target[strings.LastIndex(target, "/")+1:]
	if at := referring(s.doc, nil, file); at != nil && file != "" {
		where = "at " + locate(at) + ": "
	}
	return fmt.Errorf("%sthe schema refers to %s, which is outside of it: copy that into $defs (definitions in draft 7), and refer to it as #/$defs/NAME", where, quoted(target))
}

// referring returns the place of the first reference, in the order of keys, that ends with a file's
// name.
func referring(doc any, at []string, file string) []string {
	switch doc := doc.(type) {
	case map[string]any:
		for _, key := range sortedKeys(doc) {
			here := append(slices.Clone(at), key)
			text, isText := doc[key].(string)
			if isText && slices.Contains([]string{"$ref", "$dynamicRef", "$recursiveRef", "$schema"}, key) {
				if base, _, _ := strings.Cut(text, "#"); strings.HasSuffix(base, file) {
					return here
				}
			}
			if found := referring(doc[key], here, file); found != nil {
				return found
			}
		}
	case []any:
		for i, value := range doc {
			if found := referring(value, append(slices.Clone(at), fmt.Sprint(i)), file); found != nil {
				return found
			}
		}
	}
	return nil
}

// badPattern refuses a regular expression.
func badPattern(where, expression string, why error) error {
	hint := ""
	if strings.Contains(expression, "(?=") || strings.Contains(expression, "(?!") || strings.Contains(expression, "(?<") {
		hint = "; look-ahead and look-behind cannot be used, because patterns have to take time in proportion to the text"
	}
	return fmt.Errorf("at %s: the pattern %s cannot be used: %s%s", where, quoted(expression), shortened(why.Error()), hint)
}
