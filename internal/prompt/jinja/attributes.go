package jinja

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// attributeOf returns v.name, of objects and of what has attributes of its own.
func attributeOf(v value, name string) value {
	switch v := v.(type) {
	case *dict:
		if found, ok := v.get(name); ok {
			return found
		}
		return &undefined{explain: func() (string, string) {
			return fmt.Sprintf("there is no %q in an object with %s", name, keysOf(v)),
				fmt.Sprintf("where it may be missing write {%% if x[%s] %%} … {%% endif %%}, or |default('')", quoted(name))
		}}
	case *list:
		if i := slices.Index(v.labels, name); i >= 0 {
			return v.items[i]
		}
	case object:
		if found, ok := v.attribute(name); ok {
			return found
		}
	case *undefined:
		if v.silent {
			return lacking("nothing has no %q", name)
		}
		return v
	}
	return lacking("%s has no %q // a method is called, as in x.upper(); of a list take an element first, as in x[0]", kindOf(v), name)
}

// keysOf names the keys of an object for messages.
func keysOf(d *dict) string {
	if len(d.keys) == 0 {
		return "no keys"
	}
	var names []string
	for i, key := range d.keys {
		if i == 20 {
			names = append(names, "…")
			break
		}
		if s, ok := key.(string); ok {
			names = append(names, short(s))
		}
	}
	return "the keys " + strings.Join(names, ", ")
}

// itemOf returns v[key].
func itemOf(b *budget, v, key value) (value, error) {
	if err := defined(key); err != nil {
		return nil, err
	}
	i, isInt := key.(int64)
	switch v := v.(type) {
	case *dict:
		text, err := show(b, key)
		if err == nil {
			err = b.handle(len(text))
		}
		if found, ok := v.get(key); ok && err == nil {
			return found, nil
		}
		return attributeOf(v, text), err
	case *list:
		if !isInt {
			return lacking("a list has no %s as index // write x[0] for the first element", kindOf(key)), nil
		}
		if i < 0 {
			i += int64(len(v.items))
		}
		if i >= 0 && i < int64(len(v.items)) {
			return v.items[i], nil
		}
		return outside(key, len(v.items), "a list"), nil
	case string:
		if !isInt {
			break
		}
		if err := b.handle(len(v)); err != nil {
			return nil, err
		}
		runes := []rune(v)
		if i < 0 {
			i += int64(len(runes))
		}
		if i >= 0 && i < int64(len(runes)) {
			return string(runes[i]), nil
		}
		return outside(key, len(runes), "a text"), nil
	}
	text, ok := key.(string)
	if !ok {
		text, _ = show(b, key)
	}
	return attributeOf(v, text), nil
}

func outside(key value, n int, what string) value {
	i, _ := key.(int64)
	return lacking("%s of %d has no [%d] // the first one is [0], the last one [-1]", what, n, i)
}

// resolve returns what an attribute's path such as a.b.0 leads to.
func resolve(b *budget, v, path value) (value, error) {
	text, ok := path.(string)
	if !ok {
		return itemOf(b, v, path)
	}
	if d, ok := v.(*dict); ok {
		if found, ok := d.get(text); ok {
			return found, nil
		}
	}
	for part := range strings.SplitSeq(text, ".") {
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			if v, err = itemOf(b, v, n); err != nil {
				return nil, err
			}
			continue
		}
		v = attributeOf(v, part)
	}
	return v, nil
}

// sliceOf returns v[start:stop:step], in which bounds may be missing.
func sliceOf(b *budget, v value, bounds [3]value) (value, error) {
	if err := defined(v); err != nil {
		return nil, err
	}
	var runes []rune
	var items []value
	n := 0
	switch v := v.(type) {
	case string:
		if err := b.handle(len(v)); err != nil {
			return nil, err
		}
		runes = []rune(v)
		n = len(runes)
	case *list:
		items = v.items
		n = len(items)
	default:
		return nil, problem("%s cannot be sliced // write x|list first, or x|string", kindOf(v))
	}
	start, stop, step, err := sliceBounds(n, bounds)
	if err != nil {
		return nil, err
	}
	var letters []rune
	var out []value
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if items == nil {
			letters = append(letters, runes[i])
		} else {
			out = append(out, items[i])
		}
	}
	if _, ok := v.(string); ok {
		return string(letters), nil
	}
	return newList(out), b.make(len(out))
}

// sliceBounds settles bounds by the rules of Python.
func sliceBounds(n int, bounds [3]value) (start, stop, step int, err error) {
	given := [3]int{0, 0, 1}
	for i, v := range bounds {
		if v == nil {
			continue
		}
		number, ok := integer(v)
		if !ok {
			if err := defined(v); err != nil {
				return 0, 0, 0, err
			}
			return 0, 0, 0, problem("a slice takes integers, and this is %s // write x|int", kindOf(v))
		}
		given[i] = int(min(max(number, -1<<40), 1<<40))
	}
	step = given[2]
	if step == 0 {
		return 0, 0, 0, problem("the step of a slice cannot be 0 // leave it out")
	}
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	settle := func(i, otherwise int) int {
		if bounds[i] == nil {
			return otherwise
		}
		at := given[i]
		if at < 0 {
			at += n
		}
		return min(max(at, low), high)
	}
	if step > 0 {
		return settle(0, low), settle(1, high), step, nil
	}
	return settle(0, high), settle(1, low), step, nil
}
