package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// budget is how much a check may do: each unit takes less than a microsecond. Large answers take a
// million; with some schemas the time would double with each level of the answer.
const budget = 3_000_000

// A validator checks values against a schema, one at a time.
type validator struct {
	root *jsonschema.Schema
	left int // of the budget
}

// errCostly is what a check that exceeds its budget panics with.
var errCostly = errors.New("checking it takes too long: simplify anyOf, oneOf and the patterns of the schema")

func (v *validator) refill() { v.left = budget }

func (v *validator) charge(units int) {
	if v.left -= units; v.left < 0 {
		panic(errCostly)
	}
}

// validate returns what does not fit.
func (v *validator) validate(value any) (err error) {
	v.refill()
	defer func() {
		switch recovered := recover(); recovered {
		case nil:
		case errCostly:
			err = errCostly
		default: // the library's, for which some input was too strange
			err = errors.New("it cannot be checked: the library that reads schemas failed with it")
		}
	}()
	err = v.root.Validate(value)
	var wrong *jsonschema.ValidationError
	if errors.As(err, &wrong) {
		return complaint(wrong)
	}
	return err
}

// A matcher is a regular expression that counts what it costs.
type matcher struct {
	*regexp.Regexp
	steps int
	of    *validator
}

// MatchString reports whether a text holds a match.
func (m *matcher) MatchString(s string) bool {
	m.of.charge(1 + len(s)/200*m.steps)
	return m.Regexp.MatchString(s)
}

// prepare has every schema that is in use count what it costs, and makes formats annotations: the
// place of a format, which is looked at before all that is below it, does the counting. It refuses
// what is not in the document, or of another draft.
func (v *validator) prepare(entries []*jsonschema.Schema) error {
	seen := map[*jsonschema.Schema]bool{}
	for len(entries) > 0 {
		s := entries[len(entries)-1]
		entries = entries[:len(entries)-1]
		if seen[s] {
			continue
		}
		seen[s] = true
		switch {
		case len(seen) > maxSubschemas:
			return fmt.Errorf("the schema has more than %d parts that are schemas", maxSubschemas)
		case !strings.HasPrefix(s.Location, address+"#"):
			return fmt.Errorf("the schema refers to %s, which is outside of it", quoted(strings.TrimSuffix(s.Location, "#")))
		case s.DraftVersion != 7 && s.DraftVersion != 2019 && s.DraftVersion != 2020:
			return fmt.Errorf("at %s: draft %d cannot be used, only 7, 2019-09 and 2020-12", strings.TrimPrefix(s.Location, address+"#"), s.DraftVersion)
		}
		once, each := parts(s)
		price := cost{own: 1 + ownCost(s), unique: s.UniqueItems}
		for _, part := range once {
			price.own += 1 + ownCost(part)
		}
		for _, part := range each {
			price.element += 1 + ownCost(part)
		}
		s.Format = &jsonschema.Format{Name: "cost", Validate: func(value any) error {
			v.charge(price.of(value))
			return nil
		}}
		entries = append(append(entries, once...), each...)
	}
	return nil
}

// A cost is what one look at a value takes, without what is inside of it.
type cost struct {
	own     int // once
	element int // for each element of an array or an object
	unique  bool
}

func (c cost) of(value any) int {
	size := 0
	switch value := value.(type) {
	case string:
		return c.own + len(value)/64
	case []any:
		size = len(value)
	case map[string]any:
		size = len(value)
	default:
		return c.own
	}
	if c.unique {
		return c.own + size*(1+c.element) + count(value)
	}
	return c.own + size*(1+c.element)
}

// ownCost is that of comparing a value with what a schema lists.
func ownCost(s *jsonschema.Schema) int {
	values := len(s.Required)
	for _, required := range s.DependentRequired {
		values += len(required)
	}
	for _, dependency := range s.Dependencies {
		if required, ok := dependency.([]string); ok {
			values += len(required)
		}
	}
	if s.Enum != nil {
		values += count(s.Enum.Values)
	}
	if s.Const != nil {
		values += count(*s.Const)
	}
	return values / 8
}

// count returns how many values there are in one, with itself.
func count(value any) int {
	n := 1
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			n += count(element)
		}
	case map[string]any:
		for _, element := range value {
			n += count(element)
		}
	}
	return n
}

// parts returns the schemas that a schema uses once for a value, and those that it uses for each
// element of one.
func parts(s *jsonschema.Schema) (once, each []*jsonschema.Schema) {
	add := func(to *[]*jsonschema.Schema, some ...*jsonschema.Schema) {
		for _, part := range some {
			if part != nil {
				*to = append(*to, part)
			}
		}
	}
	add(&once, s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else, s.ContentSchema)
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, s.PrefixItems} {
		add(&once, list...)
	}
	if s.DynamicRef != nil {
		add(&once, s.DynamicRef.Ref)
	}
	for _, properties := range []map[string]*jsonschema.Schema{s.Properties, s.DependentSchemas} {
		for _, part := range properties {
			add(&once, part)
		}
	}
	for _, dependency := range s.Dependencies {
		if part, ok := dependency.(*jsonschema.Schema); ok {
			add(&once, part)
		}
	}
	add(&each, s.PropertyNames, s.UnevaluatedProperties, s.UnevaluatedItems, s.Contains, s.Items2020)
	for _, part := range s.PatternProperties {
		add(&each, part)
	}
	for _, some := range []any{s.AdditionalProperties, s.AdditionalItems, s.Items} {
		switch some := some.(type) {
		case *jsonschema.Schema:
			add(&each, some)
		case []*jsonschema.Schema:
			add(&once, some...)
		}
	}
	return once, each
}
