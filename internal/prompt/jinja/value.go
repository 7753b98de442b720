package jinja

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// A value is nil (null), bool, int64, float64, decimal, bigNumber, string, *undefined, *list,
// *dict, *function or an object.
type value any

type (
	// A decimal is a number of a row that is no int64, with its own text.
	decimal struct {
		number float64
		text   string
	}
	// A bigNumber is the text of a number that neither an int64 nor a float64 holds.
	bigNumber string

	// An undefined is what a name stands for that nothing has.
	undefined struct {
		explain func() (problem, advice string)
		missing string // the column that the row lacks, or nothing
		silent  bool   // of an inline if without else: it shows as nothing
	}

	list struct {
		items  []value
		frozen bool     // shared by all rows
		labels []string // names of the elements, where they have some
	}

	// A dict keeps the order of its keys.
	dict struct {
		keys, values []value
		index        map[any]int // of large ones
		frozen       bool        // shared by all rows
		namespace    bool        // may be changed by set
	}

	// A function is what a template can call.
	function struct {
		name string
		call func(*call) (value, error)
	}

	// An object has attributes, such as loop.
	object interface {
		attribute(name string) (value, bool)
	}

	// A caller is an object that can be called, such as loop in a recursive loop.
	caller interface{ function() *function }

	argument struct {
		name  string
		value value
	}

	// A call is one of a function, a filter, a test or a method.
	call struct {
		*budget
		in    value // what a filter, a test or a method is called on
		args  []value
		named []argument
		bound []value // by the order of its parameters; absent ones are nil
		given []bool
		texts bool                                                                       // of a method: text is given as text, and nothing is turned into it
		apply func(name string, in value, args []value, named []argument) (value, error) // a filter
		test  func(name string, in value, args []value, named []argument) (bool, error)
	}
)

// largeDict is the number of keys from which on a dict has an index.
const largeDict = 8

// hash returns what is equal for equal keys, or an error for what cannot be a key.
func hash(v value) (any, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case decimal:
		return hash(v.number)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
		return v, nil
	case nil, int64, string, bigNumber:
		return v, nil
	}
	return nil, problem("%s cannot be a key", kindOf(v))
}

func (d *dict) find(key any) int {
	if d.index != nil {
		if i, ok := d.index[key]; ok {
			return i
		}
		return -1
	}
	for i, k := range d.keys {
		if h, err := hash(k); err == nil && h == key {
			return i
		}
	}
	return -1
}

func (d *dict) get(key value) (value, bool) {
	h, err := hash(key)
	if err != nil {
		return nil, false
	}
	if i := d.find(h); i >= 0 {
		return d.values[i], true
	}
	return nil, false
}

func (d *dict) set(key, v value) error {
	h, err := hash(key)
	if err != nil {
		return err
	}
	if i := d.find(h); i >= 0 {
		d.values[i] = v
		return nil
	}
	d.keys, d.values = append(d.keys, key), append(d.values, v)
	switch {
	case d.index != nil:
		d.index[h] = len(d.keys) - 1
	case len(d.keys) > largeDict:
		d.index = map[any]int{}
		for i, k := range d.keys {
			if h, err := hash(k); err == nil {
				d.index[h] = i
			}
		}
	}
	return nil
}

// kindOf names the kind of a value for messages.
func kindOf(v value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "a truth value"
	case int64, float64, decimal:
		return "a number"
	case bigNumber:
		return "the number " + string(v) + ", which is too large to calculate with,"
	case string:
		return "text"
	case *list:
		return "a list"
	case *dict:
		return "an object"
	case *function:
		return "the function " + v.name
	case *undefined:
		return "a missing value"
	}
	return "an object of the template"
}

// truth says whether a value is true in a condition.
func truth(v value) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case decimal:
		return v.number != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// lacking returns what stands for something that is not there, and an error where it is used.
func lacking(format string, args ...any) *undefined {
	return &undefined{explain: func() (string, string) {
		text, advice, _ := strings.Cut(fmt.Sprintf(format, args...), " // ")
		return text, advice
	}}
}

// defined returns an error for what nothing has.
func defined(v value) error {
	if u, ok := v.(*undefined); ok && !u.silent {
		text, advice := u.explain()
		return &located{offset: -1, problem: text, advice: advice, missing: u.missing}
	}
	return nil
}

// show returns a value as the text that stands in the prompt.
func show(b *budget, v value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil:
		return "", nil
	case *undefined:
		return "", defined(v)
	}
	return toJSON(b, v, layout{})
}

// elements returns what a loop over a value turns over: the elements of a list, the keys of an
// object, the letters of a text.
func elements(b *budget, v value) ([]value, error) {
	switch v := v.(type) {
	case *list:
		return v.items, b.look(len(v.items))
	case *dict:
		return v.keys, b.look(len(v.keys))
	case string:
		n := utf8.RuneCountInString(v)
		if err := b.look(n); err != nil {
			return nil, err
		}
		all := make([]value, 0, n)
		for _, r := range v {
			all = append(all, string(r))
		}
		return all, nil
	case *undefined:
		if v.silent {
			return nil, nil
		}
		return nil, defined(v)
	}
	return nil, problem("%s has no elements", kindOf(v))
}

// remove takes a key out of an object.
func (d *dict) remove(i int) {
	d.keys, d.values = slices.Delete(d.keys, i, i+1), slices.Delete(d.values, i, i+1)
	if d.index == nil {
		return
	}
	d.index = map[any]int{}
	for i, k := range d.keys {
		if h, err := hash(k); err == nil {
			d.index[h] = i
		}
	}
}

func newList(items []value) *list { return &list{items: items} }

// newDict returns an object with text as keys.
func newDict(pairs ...argument) *dict {
	d := &dict{}
	for _, p := range pairs {
		_ = d.set(p.name, p.value) // a text can be a key
	}
	return d
}

// callable returns what a value does when it is called, or nil.
func callable(v value) *function {
	switch v := v.(type) {
	case *function:
		return v
	case caller:
		return v.function()
	}
	return nil
}
