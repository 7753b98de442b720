package jinja

import (
	"strings"
)

// A handler is a filter, a test or a method: what it takes and what it does. A parameter that ends
// in = may be left out; a handler with the parameters "…" takes what comes.
type handler struct {
	params string
	do     func(*call) (value, error)
}

const anything = "…"

// check says what is wrong with the arguments of a call, before there are values.
func (h handler) check(what string, positional int, named []string) error {
	if h.params == anything {
		return nil
	}
	params := strings.Fields(h.params)
	if positional > len(params) {
		return problem("%s takes %d arguments at most and has %d%s", what, len(params), positional, h.spelling(what))
	}
	given := make([]bool, len(params))
	for i := range positional {
		given[i] = true
	}
	for _, name := range named {
		i := indexOf(params, name)
		if i < 0 {
			return problem("%s has no argument %s%s", what, name, h.spelling(what))
		}
		if given[i] {
			return problem("%s has the argument %s twice", what, name)
		}
		given[i] = true
	}
	for i, param := range params {
		if !given[i] && !strings.HasSuffix(param, "=") {
			return problem("%s lacks the argument %s%s", what, param, h.spelling(what))
		}
	}
	return nil
}

func (h handler) spelling(what string) string {
	if h.params == "" {
		return " // write " + what
	}
	return " // its arguments are " + strings.NewReplacer(" ", ", ", "=", "").Replace(h.params)
}

// indexOf finds a parameter by its name.
func indexOf(params []string, name string) int {
	for i, param := range params {
		if strings.TrimSuffix(param, "=") == name {
			return i
		}
	}
	return -1
}

// bind puts the arguments of a call in the order of the handler's parameters.
func (h handler) bind(what string, c *call) error {
	if h.params == anything {
		return nil
	}
	names := make([]string, len(c.named))
	for i, arg := range c.named {
		names[i] = arg.name
	}
	if err := h.check(what, len(c.args), names); err != nil {
		return err
	}
	if h.params == "" {
		return nil
	}
	params := strings.Fields(h.params)
	c.bound, c.given = make([]value, len(params)), make([]bool, len(params))
	for i, arg := range c.args {
		c.bound[i], c.given[i] = arg, true
	}
	for _, arg := range c.named {
		i := indexOf(params, arg.name)
		c.bound[i], c.given[i] = arg.value, true
	}
	return nil
}

// has says whether an argument is there and not null.
func (c *call) has(i int) bool { return i < len(c.given) && c.given[i] && c.bound[i] != nil }

// number returns an argument that is an integer, or what stands for it.
func (c *call) number(i, otherwise int) (int, error) {
	if !c.has(i) {
		return otherwise, nil
	}
	n, ok := integer(c.bound[i])
	if !ok {
		if err := defined(c.bound[i]); err != nil {
			return 0, err
		}
		return 0, problem("an argument is %s, and an integer is expected // write x|int", kindOf(c.bound[i]))
	}
	return int(min(max(n, -1<<31), 1<<31)), nil
}

// text returns an argument as text, or what stands for it.
func (c *call) text(i int, otherwise string) (string, error) {
	if !c.has(i) {
		return otherwise, nil
	}
	if _, ok := c.bound[i].(string); c.texts && !ok {
		if err := defined(c.bound[i]); err != nil {
			return "", err
		}
		return "", problem("an argument is %s, and text is expected // write x|string", kindOf(c.bound[i]))
	}
	return show(c.budget, c.bound[i])
}

// onlyText returns what a filter is used on, which has to be text.
func (c *call) onlyText() (string, error) {
	if _, ok := c.in.(string); !ok {
		return "", problem("%s is no text // write x|string before this filter", kindOf(c.in))
	}
	return c.input()
}

// flag returns an argument that is true or false.
func (c *call) flag(i int, otherwise bool) bool {
	if i >= len(c.given) || !c.given[i] {
		return otherwise
	}
	return truth(c.bound[i])
}

// input returns what a filter is used on as text, and takes its bytes.
func (c *call) input() (string, error) {
	text, err := show(c.budget, c.in)
	if err != nil {
		return "", err
	}
	return text, c.handle(len(text))
}

// items returns the elements of what a filter is used on.
func (c *call) items() ([]value, error) { return elements(c.budget, c.in) }

// made returns a text after it was made, and takes its bytes. What grows a text checks before.
func (c *call) made(text string) (value, error) {
	return text, c.budget.text(len(text))
}

// Tables are what a template can call. They are made once for a template.
type tables struct {
	filters, tests                        map[string]handler
	functions                             map[string]*function
	textMethods, listMethods, dictMethods map[string]handler
}

// unknownName is the error for a filter or test that is not there.
func unknownName(what, name string, table map[string]handler) error {
	names := sortedNames(table)
	if near := nearest(name, names); near != "" {
		return problem("there is no %s %s // did you mean %s?", what, name, near)
	}
	return problem("there is no %s %s // the %ss are %s", what, name, what, strings.Join(names, ", "))
}
