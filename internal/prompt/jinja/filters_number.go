package jinja

import (
	"math"
	"strconv"
	"strings"
)

// numberFilters are the filters that make a number, and those of any value.
func numberFilters() map[string]handler {
	return map[string]handler{
		"int":     {"default= base=", filterInt},
		"float":   {"default=", filterFloat},
		"abs":     {"", filterAbs},
		"round":   {"precision= method=", filterRound},
		"default": {"default_value= boolean=", filterDefault},
		"d":       {"default_value= boolean=", filterDefault},
		"attr":    {"name", filterAttr},
	}
}

func filterDefault(c *call) (value, error) {
	_, missing := c.in.(*undefined)
	if !missing && (!c.flag(1, false) || truth(c.in)) {
		return c.in, nil
	}
	if len(c.given) > 0 && c.given[0] {
		return c.bound[0], nil
	}
	return "", nil
}

func filterAttr(c *call) (value, error) {
	name, err := c.text(0, "")
	return attributeOf(c.in, name), err
}

func filterInt(c *call) (value, error) {
	base, err := c.number(1, 10)
	if err != nil {
		return nil, err
	}
	var otherwise value = int64(0)
	if len(c.given) > 0 && c.given[0] {
		otherwise = c.bound[0]
	}
	text, isText := c.in.(string)
	if !isText {
		return toInteger(c.in, otherwise)
	}
	if base != 0 && (base < 2 || base > 36) {
		return nil, problem("there is no base %d // a base is 2 to 36", base)
	}
	if n, ok := parseInteger(text, base); ok {
		return n, nil
	}
	f, err := toFloat(text, nil)
	if f == nil || err != nil {
		return otherwise, err
	}
	return toInteger(f, otherwise)
}

// parseInteger reads an integer as Python's int does.
func parseInteger(text string, base int) (int64, bool) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "_") || strings.HasSuffix(text, "_") || strings.Contains(text, "__") {
		return 0, false
	}
	text = strings.ReplaceAll(text, "_", "")
	sign := ""
	if text != "" && strings.IndexByte("+-", text[0]) >= 0 {
		sign, text = text[:1], text[1:]
	}
	if len(text) > 2 && text[0] == '0' && map[int]byte{16: 'x', 8: 'o', 2: 'b'}[base] == text[1]|0x20 {
		text = text[2:]
	}
	if text == "" || strings.IndexByte("+-", text[0]) >= 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(sign+text, base, 64)
	return n, err == nil
}

func toInteger(v, otherwise value) (value, error) {
	if n, ok := integer(v); ok {
		return n, nil
	}
	f, ok := float(v)
	if b, big := v.(bigNumber); big {
		return nil, mismatch("|int", b, b)
	}
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return otherwise, nil
	}
	if math.Abs(f) >= 1<<63 {
		return nil, problem("%s is beyond the 64-bit integers // show it as it is", floatText(f))
	}
	return int64(f), nil
}

func filterFloat(c *call) (value, error) {
	var otherwise value = 0.0
	if len(c.given) > 0 && c.given[0] {
		otherwise = c.bound[0]
	}
	return toFloat(c.in, otherwise)
}

func toFloat(v, otherwise value) (value, error) {
	switch v := v.(type) {
	case string:
		text := strings.ReplaceAll(strings.TrimSpace(v), "_", "")
		if strings.ContainsAny(text, "xXpP") {
			return otherwise, nil
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f, nil
		}
		return otherwise, nil
	case bigNumber:
		return nil, mismatch("|float", v, v)
	}
	if f, ok := float(v); ok {
		return f, nil
	}
	return otherwise, nil
}

func filterAbs(c *call) (value, error) {
	if n, ok := integer(c.in); ok {
		if n < 0 {
			return negative(n)
		}
		return n, nil
	}
	if f, ok := float(c.in); ok {
		return math.Abs(f), nil
	}
	return nil, mismatch("|abs", c.in, c.in)
}

func filterRound(c *call) (value, error) {
	precision, err := c.number(0, 0)
	if err != nil {
		return nil, err
	}
	method, err := c.text(1, "common")
	if err != nil {
		return nil, err
	}
	f, ok := float(c.in)
	if !ok {
		return nil, mismatch("|round", c.in, c.in)
	}
	precision = min(max(precision, -300), 300)
	n, isInt := integer(c.in)
	scale := math.Pow(10, float64(precision))
	switch method {
	case "common":
		if isInt && precision >= 0 {
			return n, nil
		}
		if precision < 0 {
			rounded := math.RoundToEven(f*scale) / scale
			if isInt {
				return toInteger(rounded, nil)
			}
			return rounded, nil
		}
		return strconv.ParseFloat(strconv.FormatFloat(f, 'f', precision, 64), 64)
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	}
	return nil, problem("|round knows no method %q // write 'common', 'ceil' or 'floor'", short(method))
}
