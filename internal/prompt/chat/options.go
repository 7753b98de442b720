package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gleaner/internal/pipeline"
)

// take takes in a parameter of a request. It reports whether a run has something for it; the error
// ends a sentence about it.
func (r *BatchLine) take(parameter string, value []byte) (known bool, err error) {
	switch parameter {
	case "n":
		if err = number(value, &r.N); err == nil && *r.N == 1 { // which everyone says
			r.N = nil
		}
		return true, err
	case "seed":
		return true, number(value, &r.Seed)
	}
	field, known := r.Options.FromOpenAI(parameter)
	switch to := field.(type) {
	case nil:
	case **float64:
		return known, number(value, to)
	case **int:
		return known, number(value, to)
	case *int:
		var n *int
		if err = number(value, &n); err == nil && *n == 0 { // which would count as not set
			err = errors.New("is 0")
		}
		if err == nil {
			*to = *n
		}
	case *[]string:
		*to, err = stops(value)
	case *pipeline.Think:
		*to, err = effort(value)
	case *json.RawMessage:
		*to, err = schemaOf(value)
	default:
		return false, nil
	}
	return known, err
}

// check returns an error for the first parameter that no run can have.
func (r *BatchLine) check() error {
	if r.N != nil && (*r.N < 1 || *r.N > pipeline.MaxSamples) {
		return fmt.Errorf("body.n is %d, not in 1..%d", *r.N, pipeline.MaxSamples)
	}
	err := r.Options.Check()
	var wrong *pipeline.SpecError
	if !errors.As(err, &wrong) {
		return err
	}
	for _, a := range r.Options.Asked() {
		if a.Option == wrong.Field {
			return fmt.Errorf("body.%s: %s", a.Parameter, wrong.Problem)
		}
	}
	return err
}

// Asked returns all that a line asks for.
func (r *BatchLine) Asked() []pipeline.Asked {
	return append(r.Options.Asked(), r.ofSpec(nil)...)
}

// Asks reports whether a line asks for an option, by its name as in flags.
func (r *BatchLine) Asks(option string) bool {
	switch option {
	case "samples":
		return r.N != nil
	case "seed":
		return r.Seed != nil
	}
	return r.Options.Sets(option)
}

// Lacks returns what a line asks for and the run has not, or has in another way. Nothing is said of
// the model, which is another one anyway.
func (r *BatchLine) Lacks(spec pipeline.Spec) []pipeline.Asked {
	return append(spec.Options.Lacks(r.Options), r.ofSpec(&spec)...)
}

// ofSpec returns what a line asks for that is no option; with a spec only what that has in another
// way.
func (r *BatchLine) ofSpec(spec *pipeline.Spec) (list []pipeline.Asked) {
	add := func(option, parameter, flag string, asks *int, has int) {
		if asks == nil || spec != nil && *asks == has {
			return
		}
		a := pipeline.Asked{Option: option, Parameter: parameter, Flags: fmt.Sprintf(flag, *asks)}
		if spec != nil {
			a.Has = fmt.Sprintf(flag, has)
		}
		list = append(list, a)
	}
	var has pipeline.Spec
	if spec != nil {
		has = *spec
	}
	add("samples", "n", "--samples %d", r.N, has.Samples)
	add("seed", "seed", "--seed=%d", r.Seed, has.Seed)
	return list
}

// stops reads one stop sequence or a list of them.
func stops(value []byte) (list []string, err error) {
	if value[0] != '[' {
		text, err := Text(value)
		return []string{text}, err
	}
	err = eachElement(value, func(i int, value []byte) error {
		text, err := Text(value)
		if err != nil {
			return err
		}
		if list = append(list, text); i >= 64 {
			return fmt.Errorf("has more than 64 texts")
		}
		return nil
	})
	return list, err
}

// effort reads how much a model has to think.
func effort(value []byte) (pipeline.Think, error) {
	text, err := Text(value)
	if err != nil {
		return "", err
	}
	switch text {
	case "none":
		return pipeline.ThinkOff, nil
	case "minimal", "low":
		return pipeline.ThinkLow, nil
	case "medium":
		return pipeline.ThinkMedium, nil
	case "high", "xhigh":
		return pipeline.ThinkHigh, nil
	}
	return "", fmt.Errorf("is %.40q: known are none, minimal, low, medium, high, xhigh", text)
}

// schemaOf reads which form answers have to have: any text, which is nil, any JSON, or JSON of a
// schema.
func schemaOf(value []byte) (json.RawMessage, error) {
	if value[0] != '{' {
		return nil, fmt.Errorf("%s, not an object with its type", describe(value))
	}
	kind, found, err := Lookup(value, "type")
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, errors.New("has no type")
	}
	name, err := Text(kind)
	switch {
	case err != nil:
		return nil, fmt.Errorf("has a type that %w", err)
	case name == "text":
		return nil, nil
	case name == "json_object":
		return json.RawMessage(pipeline.AnyJSON), nil
	case name != "json_schema":
		return nil, fmt.Errorf("has the type %.40q: known are text, json_object, json_schema", name)
	}
	schema, found, err := Lookup(value, "json_schema.schema")
	switch {
	case err != nil:
		return nil, err
	case !found || schema[0] != '{':
		return nil, errors.New("has no json_schema.schema that is an object")
	case len(schema) > pipeline.MaxSchemaBytes:
		return nil, fmt.Errorf("has a schema of %d bytes, the limit is %d", len(schema), pipeline.MaxSchemaBytes)
	}
	var tight bytes.Buffer
	err = json.Compact(&tight, schema)
	return tight.Bytes(), err
}

// number reads a number that fits into its type. A whole number may be written as 256.0, as tables
// write it.
func number[T int | float64](value []byte, to **T) error {
	var n float64
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return fmt.Errorf("%s, not a number", describe(value))
	}
	if err := json.Unmarshal(value, &n); err != nil {
		return fmt.Errorf("is %.40s, which is too large", value)
	}
	out := T(n)
	if float64(out) != n || math.Abs(n) > 1<<53 {
		return fmt.Errorf("is %.40s, not a whole number", value)
	}
	*to = &out
	return nil
}
