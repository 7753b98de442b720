package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// budget is how much a check may do: each unit takes a few microseconds at most. Large answers take
// a few hundred thousand; with some schemas the time would double with each level of the answer.
const budget = 1_000_000

// A validator checks values against a schema, one at a time.
type validator struct {
	root    *jsonschema.Schema
	verdict *jsonschema.Schema // what does not fit the root; it says so without keeping every reason
	left    int                // of the budget
	steps   int                // of all patterns
}

// errCostly is what a check that exceeds its budget panics with.
var errCostly = errors.New("the answer cannot be checked, because it takes too long with this schema: simplify its anyOf, oneOf and patterns")

func (v *validator) charge(units int) {
	if v.left -= units; v.left < 0 {
		panic(errCostly)
	}
}

// validate returns why a value does not fit. Every reason names its location, and there may be
// many, so reasons are asked for only where there are some, and deep values may have fewer of them.
func (v *validator) validate(value any) error {
	switch err := v.run(v.verdict, budget, value); {
	case errors.Is(err, errCostly), errors.Is(err, errStrange):
		return err
	case err != nil: // it does not fit what does not fit
		return nil
	}
	err := v.run(v.root, budget/(1+depth(value)), value)
	var wrong *jsonschema.ValidationError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("the answer does not fit the schema: %w", complaint(wrong))
	case errors.Is(err, errCostly):
		return errors.New("the answer does not fit the schema, in more places than can be named")
	case err == nil:
		return errStrange
	}
	return err
}

// errStrange is for values and schemas with which the library fails.
var errStrange = errors.New("the answer cannot be checked: the library that reads schemas fails with it")

// run validates a value within a budget.
func (v *validator) run(schema *jsonschema.Schema, units int, value any) (err error) {
	v.left = units
	defer func() {
		switch recovered := recover(); recovered {
		case nil:
		case errCostly:
			err = errCostly
		default:
			err = errStrange
		}
	}()
	return schema.Validate(value)
}

// depth returns how deeply a value is nested.
func depth(value any) int {
	deepest := 0
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			deepest = max(deepest, 1+depth(element))
		}
	case map[string]any:
		for _, element := range value {
			deepest = max(deepest, 1+depth(element))
		}
	}
	return deepest
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
// place of a format, which is read before all that is below it, does the counting. It refuses
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
