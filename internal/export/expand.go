package export

import (
	"errors"
	"slices"
	"strings"
)

// expandable returns the fields of the answers that fit a schema, in the order of the schema. The
// error says why there are none.
func expandable(schema []byte) ([]string, error) {
	if len(schema) == 0 {
		return nil, errors.New("--expand makes columns of the fields of a schema, and this run has none: leave it out, or make a run with --schema FILE")
	}
	f := finder{whole: schema, followed: map[string]bool{}}
	f.find(schema)
	if len(f.names) == 0 {
		return nil, errors.New("--expand makes columns of the properties that a schema names, and that of this run names none: leave it out, or make a run with a schema that has properties")
	}
	return f.names, nil
}

// A finder finds the properties that a schema gives an object, those of its alternatives together.
// The schema was checked when the run was made, so it is valid.
type finder struct {
	whole    []byte
	followed map[string]bool // references
	names    []string
}

// find takes those of a part of the schema.
func (f *finder) find(part []byte) {
	if len(part) == 0 || part[0] != '{' {
		return
	}
	for _, k := range scanValid(part, nil) {
		switch {
		case k.is("properties") && k.value[0] == '{':
			for _, property := range scanValid(k.value, nil) {
				if name := property.text(); !slices.Contains(f.names, name) {
					f.names = append(f.names, name)
				}
			}
		case (k.is("$ref") || k.is("$dynamicRef")) && k.value[0] == '"':
			if reference := unquote(k.value); !f.followed[reference] {
				f.followed[reference] = true
				f.find(f.referred(reference))
			}
		case k.is("then") || k.is("else"):
			f.find(k.value)
		case (k.is("allOf") || k.is("anyOf") || k.is("oneOf")) && k.value[0] == '[':
			for _, alternative := range elements(k.value) {
				f.find(alternative)
			}
		}
	}
}

// referred returns the part that a reference such as #/$defs/Answer names, or nothing.
func (f *finder) referred(reference string) []byte {
	pointer, ok := strings.CutPrefix(reference, "#")
	if !ok {
		return nil
	}
	part := f.whole
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		if part[0] != '{' {
			return nil
		}
		fields := scanValid(part, nil)
		at := slices.IndexFunc(fields, func(k field) bool { return k.is(step) })
		if at < 0 {
			return nil
		}
		part = fields[at].value
	}
	return part
}
