package jinja

import (
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
		if remainder == 0 {
			remainder = math.Copysign(0, g)
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
