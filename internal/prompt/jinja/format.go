package jinja

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A spec says how a value is written: by |format as in %5.2f, by .format() as in {:>5.2f}.
type spec struct {
	fill      string
	align     rune // < > ^ =, or 0
	sign      rune // + or a space, or 0
	alternate bool
	width     int
	comma     string // between thousands
	precision int    // below 0: none
	verb      byte   // the letter of the kind, or 0
}

// filterFormat is '%s of %d'|format(a, b), by the rules of Python's %.
func filterFormat(c *call) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	if err := c.handle(4096); err != nil { // what the expression costs
		return nil, err
	}
	form := regexp.MustCompile(`%(\([^)]*\))?([-+ 0#]*)(\d*)(?:\.(\d*))?([a-zA-Z%]?)`)
	var out strings.Builder
	next := 0
	for text != "" {
		at := form.FindStringSubmatchIndex(text)
		if at == nil {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:at[0]])
		part := form.FindStringSubmatch(text[at[0]:])
		text = text[at[1]:]
		if part[5] == "%" {
			out.WriteByte('%')
			continue
		}
		v, err := formatArgument(c, strings.Trim(part[1], "()"), part[1] != "", &next)
		if err != nil {
			return nil, err
		}
		written, err := write(c.budget, percentSpec(part), v)
		if err != nil {
			return nil, err
		}
		out.WriteString(written)
		if err := c.budget.text(out.Len()); err != nil {
			return nil, err
		}
	}
	if next < len(c.args) {
		return nil, problem("|format has %d arguments, and its text uses %d", len(c.args), next)
	}
	return c.made(out.String())
}

// formatArgument returns the named argument of a format, or the next one.
func formatArgument(c *call, name string, isNamed bool, next *int) (value, error) {
	if isNamed {
		if err := c.look(len(c.named)); err != nil {
			return nil, err
		}
		for _, arg := range c.named {
			if arg.name == name {
				return arg.value, nil
			}
		}
		return nil, problem("the argument %s is missing // give it, as in format(%s=x)", name, name)
	}
	if *next >= len(c.args) {
		return nil, problem("the text wants more arguments than the %d that it has", len(c.args))
	}
	*next++
	return c.args[*next-1], nil
}

func percentSpec(part []string) spec {
	s := spec{fill: " ", align: '>', precision: -1}
	if part[5] != "" {
		s.verb = part[5][0]
	}
	flags := part[2]
	s.width = number31(part[3])
	if strings.Contains(flags, "0") {
		s.fill, s.align = "0", '='
	}
	if strings.Contains(flags, "-") {
		s.fill, s.align = " ", '<'
	}
	if strings.Contains(flags, " ") {
		s.sign = ' '
	}
	if strings.Contains(flags, "+") {
		s.sign = '+'
	}
	s.alternate = strings.Contains(flags, "#")
	if i := strings.IndexByte(strings.Join(part[:1], ""), '.'); i >= 0 {
		s.precision = number31(part[4])
	}
	if s.verb == 'i' || s.verb == 'u' {
		s.verb = 'd'
	}
	if s.verb == 's' && s.align == '=' {
		s.fill, s.align = " ", '>'
	}
	return s
}

// number31 reads a width, which is bounded by what a text may have.
func number31(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil && digits != "" || n > maxText {
		return maxText + 1
	}
	return n
}

// methodFormat is '{} of {}'.format(a, b).
func methodFormat(c *call) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	if err := c.handle(4096); err != nil { // what the expressions cost
		return nil, err
	}
	var out strings.Builder
	next := 0
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:i])
		if i+1 < len(text) && text[i+1] == text[i] {
			out.WriteByte(text[i])
			text = text[i+2:]
			continue
		}
		field, rest, closed := strings.Cut(text[i+1:], "}")
		if text[i] == '}' || !closed {
			return nil, problem("a single %c in format // write %s for the brace itself", text[i], strings.Repeat(text[i:i+1], 2))
		}
		text = rest
		written, err := formatField(c, field, &next)
		if err != nil {
			return nil, err
		}
		out.WriteString(written)
		if err := c.budget.text(out.Len()); err != nil {
			return nil, err
		}
	}
	return c.made(out.String())
}

func formatField(c *call, field string, next *int) (string, error) {
	name, form, _ := strings.Cut(field, ":")
	var v value
	var err error
	if i, bad := strconv.Atoi(name); bad == nil {
		if i < 0 || i >= len(c.args) {
			return "", problem("format has no argument %d // the first one is {0}", i)
		}
		v = c.args[i]
	} else if v, err = formatArgument(c, name, name != "", next); err != nil {
		return "", err
	}
	if err := c.handle(4096); err != nil { // what the expression costs
		return "", err
	}
	match := regexp.MustCompile(`^(?:(.)?([<>^=]))?([-+ ])?(#)?(0)?(\d*)([,_])?(?:\.(\d+))?([a-zA-Z%])?$`).FindStringSubmatch(form)
	if match == nil || strings.ContainsAny(name, ".[!") {
		return "", problem("format does not know {%s} // write {}, {0}, {name}, {:.2f} or {:>5}", short(field))
	}
	s := spec{fill: " ", precision: -1, comma: match[7], alternate: match[4] != "", width: number31(match[6])}
	if match[2] != "" {
		s.align = rune(match[2][0])
	}
	if match[1] != "" {
		s.fill = match[1]
	}
	if match[3] != "" && match[3] != "-" {
		s.sign = rune(match[3][0])
	}
	if match[5] != "" && match[2] == "" {
		s.fill, s.align = "0", '='
	}
	if match[8] != "" {
		s.precision = number31(match[8])
	}
	if match[9] != "" {
		s.verb = match[9][0]
	}
	return write(c.budget, s, v)
}

// write returns a value as a spec says.
func write(b *budget, s spec, v value) (string, error) {
	if err := defined(v); err != nil {
		return "", err
	}
	if s.precision > 400 && s.verb != 's' && s.verb != 0 {
		return "", problem("%d places are too many", s.precision)
	}
	digits, isNumber, err := digitsOf(b, s, v)
	if err != nil {
		return "", err
	}
	if !isNumber {
		if s.precision >= 0 {
			if runes := []rune(digits); len(runes) > s.precision {
				digits = string(runes[:s.precision])
			}
		}
		if s.align == 0 || s.align == '=' {
			s.align = '<'
		}
		return justify(b, digits, s.width, s.align, s.fill)
	}
	sign := ""
	switch {
	case strings.HasPrefix(digits, "-"):
		sign, digits = "-", digits[1:]
	case s.sign != 0:
		sign = string(s.sign)
	}
	digits = thousands(digits, s.comma)
	if s.align == '=' {
		padded, err := justify(b, digits, s.width-len(sign), '>', s.fill)
		return sign + padded, err
	}
	if s.align == 0 {
		s.align = '>'
	}
	return justify(b, sign+digits, s.width, s.align, s.fill)
}

func thousands(digits, comma string) string {
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(digits)
	}
	for i := end - 3; i > 0 && comma != ""; i -= 3 {
		digits = digits[:i] + comma + digits[i:]
	}
	return digits
}

// digitsOf returns a value as text, and whether it is a number.
func digitsOf(b *budget, s spec, v value) (string, bool, error) {
	n, isInt := integer(v)
	f, isFloat := float(v)
	switch s.verb {
	case 0, 's', 'r':
		text, err := show(b, v)
		_, isBool := v.(bool)
		return text, isFloat && s.verb == 0 && !isBool, err
	case 'c':
		if isInt && utf8.ValidRune(rune(n)) && n <= utf8.MaxRune {
			return string(rune(n)), false, nil
		}
	case 'd', 'x', 'X', 'o', 'b':
		if !isInt && isFloat && s.verb == 'd' && math.Abs(f) < 1<<63 {
			n, isInt = int64(f), true
		}
		if isInt {
			text := strconv.FormatInt(n, map[byte]int{'d': 10, 'x': 16, 'X': 16, 'o': 8, 'b': 2}[s.verb])
			if s.verb == 'X' {
				text = strings.ToUpper(text)
			}
			return text, true, nil
		}
	case 'f', 'F', 'e', 'E', 'g', 'G', '%':
		if isFloat {
			return floatDigits(s, f), true, nil
		}
	default:
		return "", false, problem("format does not know the letter %c // write s for text, d for integers, .2f for decimals", s.verb)
	}
	return "", false, problem("%c writes numbers, and this is %s // turn it into one by |int or |float, or write s", s.verb, kindOf(v))
}

func floatDigits(s spec, f float64) string {
	places := s.precision
	if places < 0 {
		places = 6
	}
	switch s.verb {
	case '%':
		return strconv.FormatFloat(f*100, 'f', places, 64) + "%"
	case 'f', 'F':
		return strconv.FormatFloat(f, 'f', places, 64)
	case 'e', 'E':
		return strconv.FormatFloat(f, s.verb, places, 64)
	}
	places = max(places, 1)
	exponent := 0
	if f != 0 {
		_, after, _ := strings.Cut(strconv.FormatFloat(f, 'e', places-1, 64), "e")
		exponent, _ = strconv.Atoi(after)
	}
	if exponent < -4 || exponent >= places {
		mantissa, power, _ := strings.Cut(strconv.FormatFloat(f, 'e', places-1, 64), "e")
		if strings.Contains(mantissa, ".") {
			mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
		}
		return mantissa + string(s.verb-2) + power
	}
	text := strconv.FormatFloat(f, 'f', max(places-1-exponent, 0), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
