package jinja

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// listFilters are the filters of lists and objects.
func listFilters() map[string]handler {
	return map[string]handler{
		"first":      {"", filterFirst},
		"last":       {"", filterLast},
		"length":     {"", filterLength},
		"count":      {"", filterLength},
		"list":       {"", filterList},
		"reverse":    {"", filterReverse},
		"join":       {"d= attribute=", filterJoin},
		"items":      {"", filterItems},
		"dictsort":   {"case_sensitive= by= reverse=", filterDictsort},
		"sort":       {"reverse= case_sensitive= attribute=", filterSort},
		"unique":     {"case_sensitive= attribute=", filterUnique},
		"min":        {"case_sensitive= attribute=", filterMin},
		"max":        {"case_sensitive= attribute=", filterMax},
		"sum":        {"attribute= start=", filterSum},
		"batch":      {"linecount fill_with=", filterBatch},
		"slice":      {"slices fill_with=", filterSlice},
		"groupby":    {"attribute default= case_sensitive=", filterGroupby},
		"map":        {anything, filterMap},
		"select":     {anything, func(c *call) (value, error) { return selected(c, true, false) }},
		"reject":     {anything, func(c *call) (value, error) { return selected(c, false, false) }},
		"selectattr": {anything, func(c *call) (value, error) { return selected(c, true, true) }},
		"rejectattr": {anything, func(c *call) (value, error) { return selected(c, false, true) }},
	}
}

func filterFirst(c *call) (value, error) {
	return atEnd(c, "first", utf8.DecodeRuneInString, func(items []value) value { return items[0] })
}

func filterLast(c *call) (value, error) {
	return atEnd(c, "last", utf8.DecodeLastRuneInString, func(items []value) value { return items[len(items)-1] })
}

// atEnd returns the letter of a text, or the element of a list, that stands at one of its ends.
func atEnd(c *call, which string, letter func(string) (rune, int), element func([]value) value) (value, error) {
	if s, ok := c.in.(string); ok && s != "" {
		r, _ := letter(s)
		return string(r), nil
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return lacking("there is no %[1]s element // write x|%[1]s|default('')", which), nil
	}
	return element(items), nil
}

func filterLength(c *call) (value, error) {
	switch in := c.in.(type) {
	case string:
		return int64(utf8.RuneCountInString(in)), c.handle(len(in))
	case *list:
		return int64(len(in.items)), nil
	case *dict:
		return int64(len(in.keys)), nil
	}
	return nil, problem("%s has no length // write x|string|length for its letters", kindOf(c.in))
}

func filterList(c *call) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	return newList(slices.Clone(items)), c.make(len(items))
}

func filterReverse(c *call) (value, error) {
	if s, ok := c.in.(string); ok {
		runes := []rune(s)
		slices.Reverse(runes)
		return c.made(string(runes))
	}
	v, err := filterList(c)
	if err == nil {
		slices.Reverse(v.(*list).items)
	}
	return v, err
}

// attributes replaces elements by their attribute, where one is given as argument i.
func attributes(c *call, items []value, i int) ([]value, error) {
	if !c.has(i) {
		return items, nil
	}
	found := make([]value, len(items))
	for at, v := range items {
		var err error
		if found[at], err = resolve(c.budget, v, c.bound[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func filterJoin(c *call) (value, error) {
	separator, err := c.text(0, "")
	if err != nil {
		return nil, err
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if items, err = attributes(c, items, 1); err != nil {
		return nil, err
	}
	var out strings.Builder
	for i, v := range items {
		text, err := show(c.budget, v)
		if err != nil {
			return nil, err
		}
		if out.Len()+len(separator)+len(text) > maxText {
			return nil, c.budget.text(maxText + 1)
		}
		if i > 0 {
			out.WriteString(separator)
		}
		out.WriteString(text)
	}
	return c.made(out.String())
}

// pairs returns the keys of an object with their values.
func pairs(c *call) ([]value, error) {
	d, ok := c.in.(*dict)
	if !ok {
		return nil, problem("%s has no keys // use it on an object", kindOf(c.in))
	}
	all := make([]value, len(d.keys))
	for i, key := range d.keys {
		all[i] = newList([]value{key, d.values[i]})
	}
	return all, c.make(len(all))
}

func filterItems(c *call) (value, error) {
	all, err := pairs(c)
	return newList(all), err
}

// folded returns what texts are compared by: without the case, where it does not count.
func folded(b *budget, v value, caseCounts bool) (value, error) {
	if s, ok := v.(string); ok && !caseCounts {
		return strings.ToLower(s), b.handle(len(s))
	}
	return v, defined(v)
}

// sorted sorts elements by keys of them.
func sorted(b *budget, items []value, key func(value) ([]value, error), reverse bool) ([]value, error) {
	type keyed struct {
		keys []value
		item value
	}
	all := make([]keyed, len(items))
	for i, v := range items {
		k, err := key(v)
		if err != nil {
			return nil, err
		}
		all[i] = keyed{k, v}
	}
	var failed error
	slices.SortStableFunc(all, func(x, y keyed) int {
		order := 0
		for i := 0; i < len(x.keys) && order == 0 && failed == nil; i++ {
			order, failed = compare(b, x.keys[i], y.keys[i])
		}
		if reverse {
			return -order
		}
		return order
	})
	if err := b.make(len(all)); err != nil {
		return nil, err
	}
	out := make([]value, len(all))
	for i, k := range all {
		out[i] = k.item
	}
	return out, failed
}

func filterSort(c *call) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	paths := []value{nil}
	if c.has(2) {
		paths = []value{c.bound[2]}
		if text, ok := c.bound[2].(string); ok {
			paths = nil
			for part := range strings.SplitSeq(text, ",") {
				paths = append(paths, part)
			}
		}
	}
	out, err := sorted(c.budget, items, func(v value) ([]value, error) {
		keys := make([]value, len(paths))
		for i, path := range paths {
			found := v
			var err error
			if path != nil {
				if found, err = resolve(c.budget, v, path); err != nil {
					return nil, err
				}
			}
			if keys[i], err = folded(c.budget, found, c.flag(1, false)); err != nil {
				return nil, err
			}
		}
		return keys, nil
	}, c.flag(0, false))
	return newList(out), err
}

func filterDictsort(c *call) (value, error) {
	all, err := pairs(c)
	if err != nil {
		return nil, err
	}
	by, err := c.text(1, "key")
	if err != nil {
		return nil, err
	}
	at := map[string]int{"key": 1, "value": 2}[by] - 1
	if at < 0 {
		return nil, problem("|dictsort sorts by 'key' or by 'value'")
	}
	out, err := sorted(c.budget, all, func(v value) ([]value, error) {
		key, err := folded(c.budget, v.(*list).items[at], c.flag(0, false))
		return []value{key}, err
	}, c.flag(2, false))
	return newList(out), err
}

func filterUnique(c *call) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	keys, err := attributes(c, items, 1)
	if err != nil {
		return nil, err
	}
	seen := map[any]bool{}
	var out []value
	for i, v := range items {
		key, err := folded(c.budget, keys[i], c.flag(0, false))
		if err != nil {
			return nil, err
		}
		h, err := hash(key)
		if err != nil {
			return nil, err
		}
		if !seen[h] {
			seen[h] = true
			out = append(out, v)
		}
	}
	return newList(out), nil
}

func filterMin(c *call) (value, error) { return extreme(c, -1) }
func filterMax(c *call) (value, error) { return extreme(c, 1) }

// extreme returns the smallest or the largest element.
func extreme(c *call, sign int) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	keys, err := attributes(c, items, 1)
	if err != nil {
		return nil, err
	}
	var best, bestKey value = lacking("there is no element // write |default('')"), nil
	for i, v := range items {
		key, err := folded(c.budget, keys[i], c.flag(0, false))
		if err != nil {
			return nil, err
		}
		if i > 0 {
			order, err := compare(c.budget, key, bestKey)
			if err != nil {
				return nil, err
			}
			if order*sign <= 0 {
				continue
			}
		}
		best, bestKey = v, key
	}
	return best, nil
}

func filterSum(c *call) (value, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if items, err = attributes(c, items, 0); err != nil {
		return nil, err
	}
	var sum value = int64(0)
	if c.has(1) {
		sum = c.bound[1]
	}
	for _, v := range items {
		if sum, err = arithmetic(c.budget, "+", sum, v); err != nil {
			return nil, err
		}
	}
	return sum, nil
}
