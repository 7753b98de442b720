package jinja

import (
	"strings"
)

// isTests are the tests behind is.
func isTests() map[string]handler {
	all := map[string]handler{
		"defined":     {"", is(func(v value) bool { _, missing := v.(*undefined); return !missing })},
		"undefined":   {"", is(func(v value) bool { _, missing := v.(*undefined); return missing })},
		"none":        {"", is(func(v value) bool { return v == nil })},
		"boolean":     {"", is(func(v value) bool { _, ok := v.(bool); return ok })},
		"true":        {"", is(func(v value) bool { return v == true })},
		"false":       {"", is(func(v value) bool { return v == false })},
		"integer":     {"", is(func(v value) bool { _, ok := v.(int64); _, big := v.(bigNumber); return ok || big })},
		"float":       {"", is(isFloat)},
		"number":      {"", is(func(v value) bool { _, ok := float(v); _, big := v.(bigNumber); return ok || big })},
		"string":      {"", is(func(v value) bool { _, ok := v.(string); return ok })},
		"mapping":     {"", is(func(v value) bool { _, ok := v.(*dict); return ok })},
		"sequence":    {"", is(hasElements)},
		"iterable":    {"", is(hasElements)},
		"callable":    {"", is(func(v value) bool { f := callable(v); return f != nil })},
		"lower":       {"", cased(lower)},
		"upper":       {"", cased(upper)},
		"odd":         {"", remainder(2, 1)},
		"even":        {"", remainder(2, 0)},
		"divisibleby": {"num", divisible},
		"sameas":      {"other", same},
		"in": {"seq", func(c *call) (value, error) {
			ok, err := contains(c.budget, c.bound[0], c.in)
			return ok, err
		}},
	}
	for op, names := range map[string]string{
		"==": "eq equalto ==", "!=": "ne !=", "<": "lt lessthan <", "<=": "le <=", ">": "gt greaterthan >", ">=": "ge >=",
	} {
		for name := range strings.FieldsSeq(names) {
			all[name] = handler{"other", func(c *call) (value, error) {
				ok, err := compares(c.budget, op, c.in, c.bound[0])
				return ok, err
			}}
		}
	}
	return all
}

func is(f func(value) bool) func(*call) (value, error) {
	return func(c *call) (value, error) { return f(c.in), nil }
}

func isFloat(v value) bool {
	switch v.(type) {
	case float64, decimal:
		return true
	}
	return false
}

func hasElements(v value) bool {
	switch v.(type) {
	case string, *list, *dict:
		return true
	}
	return false
}

// cased says whether a text has letters and a function leaves it as it is.
func cased(f func(string) string) func(*call) (value, error) {
	return func(c *call) (value, error) {
		text, err := c.input()
		return text == f(text) && strings.ToUpper(text) != strings.ToLower(text), err
	}
}

func remainder(by, want int64) func(*call) (value, error) {
	return func(c *call) (value, error) {
		rest, err := arithmetic(c.budget, "%", c.in, by)
		if err != nil {
			return nil, err
		}
		yes, err := equal(c.budget, rest, want)
		return yes, err
	}
}

func divisible(c *call) (value, error) {
	rest, err := arithmetic(c.budget, "%", c.in, c.bound[0])
	if err != nil {
		return nil, err
	}
	yes, err := equal(c.budget, rest, int64(0))
	return yes, err
}

// same says whether two values are one: of a number, a text or a truth value its kind counts, too.
func same(c *call) (value, error) {
	switch c.in.(type) {
	case *list, *dict, object, *function:
		return c.in == c.bound[0], nil
	}
	yes, err := equal(c.budget, c.in, c.bound[0])
	return yes && kindOf(c.in) == kindOf(c.bound[0]), err
}
