package jinja

import (
	"cmp"
	"math"
	"strings"
)

// integer returns a value as an integer, as Python takes truth values for 0 and 1.
func integer(v value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// float returns any number as a float.
func float(v value) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case decimal:
		return v.number, true
	}
	n, ok := integer(v)
	return float64(n), ok
}

func overflow(op string) error {
	return problem("the result of %s is beyond the 64-bit integers // calculate with a decimal, as in 2.0", op)
}

// arithmetic calculates with two values.
func arithmetic(b *budget, op string, left, right value) (value, error) {
	for _, v := range []value{left, right} {
		if err := defined(v); err != nil {
			return nil, err
		}
	}
	if v, done, err := sequences(b, op, left, right); done || err != nil {
		return v, err
	}
	x, isInt := integer(left)
	y, alsoInt := integer(right)
	if isInt && alsoInt {
		return integers(op, x, y)
	}
	f, isFloat := float(left)
	g, alsoFloat := float(right)
	if !isFloat || !alsoFloat {
		return nil, mismatch(op, left, right)
	}
	return floats(op, f, g)
}

func mismatch(op string, left, right value) error {
	advice := "turn text into a number by |int or |float"
	switch {
	case op == "+":
		advice = "join texts by ~, as in a ~ b; " + advice
	case left == nil || right == nil:
		advice = "null has no number: write x|default(0, true)"
	}
	for _, v := range []value{left, right} {
		if n, ok := v.(bigNumber); ok {
			return problem("%s is beyond what can be calculated with, so %s cannot be used on it // show it as it is", string(n), op)
		}
	}
	return problem("%s cannot be used on %s and %s // %s", op, kindOf(left), kindOf(right), advice)
}

// sequences does what texts and lists can: a + b and a * 3.
func sequences(b *budget, op string, left, right value) (value, bool, error) {
	switch l := left.(type) {
	case string:
		if r, ok := right.(string); ok && op == "+" {
			return l + r, true, b.text(len(l) + len(r))
		}
		if n, ok := integer(right); ok && op == "*" {
			return repeat(b, l, n)
		}
		if op == "%" {
			return nil, true, problem("%% on text is not there // write '%%d points'|format(n) for '%%d points' %% n")
		}
	case *list:
		if r, ok := right.(*list); ok && op == "+" {
			if err := b.make(len(l.items) + len(r.items)); err != nil {
				return nil, true, err
			}
			return newList(append(append(make([]value, 0, len(l.items)+len(r.items)), l.items...), r.items...)), true, nil
		}
		if n, ok := integer(right); ok && op == "*" {
			return repeatList(b, l, n)
		}
	default:
		if _, ok := integer(left); ok && op == "*" {
			switch right.(type) {
			case string, *list:
				return sequences(b, op, right, left)
			}
		}
	}
	return nil, false, nil
}

func repeat(b *budget, text string, n int64) (value, bool, error) {
	if n <= 0 || text == "" {
		return "", true, nil
	}
	if n > maxText || int64(len(text))*n > maxText {
		return nil, true, b.text(maxText + 1)
	}
	return strings.Repeat(text, int(n)), true, b.text(len(text) * int(n))
}

func repeatList(b *budget, l *list, n int64) (value, bool, error) {
	if n <= 0 || len(l.items) == 0 {
		return newList(nil), true, nil
	}
	if err := b.make(int(min(n, maxTurns+1)) * len(l.items)); err != nil {
		return nil, true, err
	}
	all := make([]value, 0, len(l.items)*int(n))
	for range n {
		all = append(all, l.items...)
	}
	return newList(all), true, nil
}

func integers(op string, x, y int64) (value, error) {
	switch op {
	case "+":
		if s := x + y; (s > x) == (y > 0) {
			return s, nil
		}
	case "-":
		if s := x - y; (s < x) == (y > 0) {
			return s, nil
		}
	case "*":
		if x == 0 || y == 0 {
			return int64(0), nil
		}
		if p := x * y; p/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64) {
			return p, nil
		}
	case "**":
		return power(x, y)
	default:
		if y == 0 {
			return nil, problem("%s by zero", op)
		}
		switch {
		case op == "/":
			return float64(x) / float64(y), nil
		case op == "%":
			return x - floorDivision(x, y)*y, nil
		case x != math.MinInt64 || y != -1:
			return floorDivision(x, y), nil
		}
	}
	return nil, overflow(op)
}

func floorDivision(x, y int64) int64 {
	if y == -1 {
		return -x
	}
	q := x / y
	if x%y != 0 && (x < 0) != (y < 0) {
		q--
	}
	return q
}

func power(x, y int64) (value, error) {
	if y < 0 {
		return floats("**", float64(x), float64(y))
	}
	if y > 63 && x != 0 && x != 1 && x != -1 {
		return nil, overflow("**")
	}
	if y > 63 {
		y = 2 + y%2
	}
	result := int64(1)
	for range y {
		next, err := integers("*", result, x)
		if err != nil {
			return nil, overflow("**")
		}
		result = next.(int64)
	}
	return result, nil
}

func floats(op string, f, g float64) (value, error) {
	var result float64
	switch op {
	case "+":
		result = f + g
	case "-":
		result = f - g
	case "*":
		result = f * g
	case "**":
		if result = math.Pow(f, g); math.IsNaN(result) || f == 0 && g < 0 {
			return nil, problem("%s to the power of %s has no result", floatText(f), floatText(g))
		}
	default:
		if g == 0 {
			return nil, problem("%s by zero", op)
		}
		remainder := math.Mod(f, g)
		if remainder != 0 && (remainder < 0) != (g < 0) {
			remainder += g
		}
		switch op {
		case "/":
			result = f / g
		case "%":
			result = remainder
		default:
			result = math.Round((f - remainder) / g)
		}
	}
	if math.IsInf(result, 0) && !math.IsInf(f, 0) && !math.IsInf(g, 0) {
		return nil, problem("the result of %s is too large", op)
	}
	return result, nil
}

// negative returns -v.
func negative(v value) (value, error) {
	if err := defined(v); err != nil {
		return nil, err
	}
	if n, ok := integer(v); ok {
		if n == math.MinInt64 {
			return nil, overflow("-")
		}
		return -n, nil
	}
	if f, ok := float(v); ok {
		return -f, nil
	}
	return nil, problem("- cannot be used on %s // turn text into a number by |int or |float", kindOf(v))
}

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
