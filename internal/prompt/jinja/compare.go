package jinja

import (
	"cmp"
	"strings"
)

// equal compares two values; it takes the elements that it looks at.
func equal(b *budget, left, right value) (bool, error) {
	switch l := left.(type) {
	case *list:
		r, ok := right.(*list)
		if !ok || len(l.items) != len(r.items) {
			return false, nil
		}
		return equalAll(b, l.items, func(i int) (value, bool) { return r.items[i], true })
	case *dict:
		r, ok := right.(*dict)
		if !ok || len(l.keys) != len(r.keys) {
			return false, nil
		}
		return equalAll(b, l.values, func(i int) (value, bool) { return r.get(l.keys[i]) })
	case string:
		r, ok := right.(string)
		return ok && l == r, b.handle(min(len(l), len(r)))
	case *undefined:
		_, ok := right.(*undefined)
		return ok, nil
	case nil, bigNumber, *function, object:
		return left == right, nil
	}
	x, isInt := integer(left)
	y, alsoInt := integer(right)
	if isInt && alsoInt {
		return x == y, nil
	}
	f, isFloat := float(left)
	g, alsoFloat := float(right)
	return isFloat && alsoFloat && f == g, nil
}

func equalAll(b *budget, items []value, other func(int) (value, bool)) (bool, error) {
	if err := b.enter(); err != nil {
		return false, err
	}
	defer b.leave()
	if err := b.look(len(items)); err != nil {
		return false, err
	}
	for i, item := range items {
		o, ok := other(i)
		if !ok {
			return false, nil
		}
		if same, err := equal(b, item, o); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare orders two values: below 0 if the left one is smaller.
func compare(b *budget, left, right value) (int, error) {
	for _, v := range []value{left, right} {
		if err := defined(v); err != nil {
			return 0, err
		}
	}
	switch l := left.(type) {
	case string:
		if r, ok := right.(string); ok {
			return strings.Compare(l, r), b.handle(min(len(l), len(r)))
		}
	case *list:
		if r, ok := right.(*list); ok {
			return compareLists(b, l, r)
		}
	}
	x, isInt := integer(left)
	y, alsoInt := integer(right)
	if isInt && alsoInt {
		return cmp.Compare(x, y), nil
	}
	f, isFloat := float(left)
	g, alsoFloat := float(right)
	if !isFloat || !alsoFloat {
		return 0, problem("%s and %s cannot be compared // turn text into a number by |int or |float", kindOf(left), kindOf(right))
	}
	return cmp.Compare(f, g), nil
}

func compareLists(b *budget, l, r *list) (int, error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	for i := range min(len(l.items), len(r.items)) {
		if err := b.look(1); err != nil {
			return 0, err
		}
		same, err := equal(b, l.items[i], r.items[i])
		if err != nil {
			return 0, err
		}
		if !same {
			return compare(b, l.items[i], r.items[i])
		}
	}
	return cmp.Compare(len(l.items), len(r.items)), nil
}

// contains is the operator in.
func contains(b *budget, in, v value) (bool, error) {
	switch in := in.(type) {
	case string:
		part, ok := v.(string)
		if !ok {
			if err := defined(v); err != nil {
				return false, err
			}
			return false, problem("in looks for text in text, and this is %s // write x|string in text", kindOf(v))
		}
		return strings.Contains(in, part), b.handle(len(in))
	case *list:
		for _, item := range in.items {
			if err := b.look(1); err != nil {
				return false, err
			}
			if same, err := equal(b, item, v); same || err != nil {
				return same, err
			}
		}
		return false, nil
	case *dict:
		if text, ok := v.(string); ok {
			if err := b.handle(len(text)); err != nil {
				return false, err
			}
		}
		_, ok := in.get(v)
		return ok, nil
	case *undefined:
		return false, nil
	}
	return false, problem("in cannot look into %s", kindOf(in))
}

func compares(b *budget, op string, left, right value) (bool, error) {
	switch op {
	case "==", "!=":
		same, err := equal(b, left, right)
		return same == (op == "=="), err
	case "in", "not in":
		found, err := contains(b, right, left)
		return found == (op == "in"), err
	}
	order, err := compare(b, left, right)
	switch op {
	case "<":
		return order < 0, err
	case "<=":
		return order <= 0, err
	case ">":
		return order > 0, err
	}
	return order >= 0, err
}
