package jobfile

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// A reading makes the value of one flag.
type reading struct {
	file *Job
	flag *kong.Flag
	size int // bytes of the value until now
}

// value returns what an entry gives to a flag, in a form that kong decodes: a text, a number, a
// bool, []any, or map[string]any.
func (f *Job) value(e entry, flag *kong.Flag) (value any, err error) {
	r := &reading{file: f, flag: flag}
	kind := resolved(e.value).Kind
	switch {
	case flag.IsSlice():
		value, err = r.list(e.value)
	case flag.IsMap():
		value, err = r.mapping(e.value)
	case kind == yaml.ScalarNode:
		value, err = r.single(e.value)
	case kind == yaml.MappingNode:
		err = f.wrong(e.value, "%s is expected, and this is a mapping: a text that begins with { is put into quotes, or below %s: |", expected(flag.Target.Type()), flag.Name)
	default:
		err = f.wrong(e.value, "%s is expected, and this is a list: a text that begins with [ is put into quotes, or below %s: |", expected(flag.Target.Type()), flag.Name)
	}
	if err == nil {
		err = r.try(e.value, value)
	}
	return value, err
}

// text returns a single value exactly as it is written, with its variables replaced: only the flag
// knows whether no is a word or says false.
func (r *reading) text(at *yaml.Node) (string, error) {
	node := resolved(at)
	if node.Kind != yaml.ScalarNode {
		return "", r.file.wrong(at, "a single value is expected here")
	}
	if node.Style&yaml.TaggedStyle != 0 && !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool"}, node.Tag) {
		return "", r.file.wrong(at, "the tag %s means nothing here: leave it out", said(node.Tag))
	}
	value, err := r.expand(at)
	if err != nil {
		return "", err
	}
	if r.size += len(value); r.size > maxValueBytes {
		return "", r.file.wrong(at, "the value has more than %d bytes, with all that its aliases and variables stand for", maxValueBytes)
	}
	isBlock := node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if isBlock && !strings.HasSuffix(value, "\n\n") { // as of a prompt file, the end of its last line is no part of it
		value = strings.TrimSuffix(value, "\n")
	}
	return value, nil
}

// single returns a value of a flag that has one.
func (r *reading) single(at *yaml.Node) (any, error) {
	word, err := r.text(at)
	if err != nil {
		return nil, err
	}
	return r.convert(at, r.flag.Target.Type(), word)
}

// list returns the values of a flag that has several. A single value is what it is on the command
// line, where some flags split it at commas; those of a list stay whole.
func (r *reading) list(at *yaml.Node) (any, error) {
	node := resolved(at)
	element := r.flag.Target.Type().Elem()
	values := []any{}
	switch node.Kind {
	case yaml.ScalarNode:
		word, err := r.text(at)
		if err != nil {
			return nil, err
		}
		for _, part := range kong.SplitEscaped(word, r.flag.Tag.Sep) {
			value, err := r.convert(at, element, part)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
	case yaml.SequenceNode:
		for i, n := range node.Content {
			if isNull(resolved(n)) {
				return nil, r.file.wrong(n, "value %d of the list is empty: write \"\" if that is meant", i+1)
			}
			word, err := r.text(n)
			if err != nil {
				return nil, err
			}
			value, err := r.convert(n, element, word)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
	default:
		return nil, r.file.wrong(at, "a list is expected, [A, B], and this is a mapping: a text that begins with { is put into quotes")
	}
	return values, nil
}

// mapping returns the keys and values of a flag that is a map.
func (r *reading) mapping(at *yaml.Node) (any, error) {
	node := resolved(at)
	if node.Kind != yaml.MappingNode {
		return nil, r.file.wrong(at, "a mapping is expected, lines of KEY: VALUE")
	}
	values := map[string]any{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		at, to := node.Content[i], node.Content[i+1]
		key := resolved(at)
		if key.Kind != yaml.ScalarNode {
			return nil, r.file.wrong(at, "a single word is expected as the key")
		}
		if _, twice := values[key.Value]; twice {
			return nil, r.file.wrong(at, "the key %s stands there twice", said(key.Value))
		}
		if isNull(resolved(to)) {
			return nil, r.file.wrong(at, "%s has no value: write \"\" if that is meant", said(key.Value))
		}
		word, err := r.text(to)
		if err != nil {
			return nil, err
		}
		if values[key.Value], err = r.convert(to, r.flag.Target.Type().Elem(), word); err != nil {
			return nil, err
		}
	}
	return values, nil
}
