package jinja

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// textMethods are the methods of texts, as Python has them.
func textMethods() map[string]handler {
	all := map[string]handler{
		"upper": {"", mapped(upper)}, "lower": {"", mapped(lower)}, "casefold": {"", mapped(func(s string) string { return cases.Fold().String(s) })},
		"capitalize": {"", mapped(capitalized)}, "title": {"", mapped(titledWords)}, "swapcase": {"", mapped(swapped)},
		"strip": {"chars=", trimmed(strings.TrimFunc)}, "lstrip": {"chars=", trimmed(strings.TrimLeftFunc)}, "rstrip": {"chars=", trimmed(strings.TrimRightFunc)},
		"removeprefix": {"prefix", cut(strings.TrimPrefix)}, "removesuffix": {"suffix", cut(strings.TrimSuffix)},
		"startswith": {"prefix", affix(strings.HasPrefix)}, "endswith": {"suffix", affix(strings.HasSuffix)},
		"split":      {"sep= maxsplit=", func(c *call) (value, error) { return split(c, false) }},
		"rsplit":     {"sep= maxsplit=", func(c *call) (value, error) { return split(c, true) }},
		"splitlines": {"keepends=", splitlines}, "join": {"items", joinItems}, "replace": {"old new count=", filterReplace},
		"find": {"part", func(c *call) (value, error) { return find(c, strings.Index) }}, "rfind": {"part", func(c *call) (value, error) { return find(c, strings.LastIndex) }},
		"index": {"part", func(c *call) (value, error) {
			v, err := find(c, strings.Index)
			if err == nil && v == int64(-1) {
				err = problem("the text does not have it // look by {%% if x in text %%} first")
			}
			return v, err
		}},
		"count": {"part", countPart}, "partition": {"sep", func(c *call) (value, error) { return partition(c, false) }},
		"rpartition": {"sep", func(c *call) (value, error) { return partition(c, true) }},
		"zfill":      {"width", zfill}, "ljust": {"width fillchar=", func(c *call) (value, error) { return justified(c, '<') }},
		"rjust":   {"width fillchar=", func(c *call) (value, error) { return justified(c, '>') }},
		"center":  {"width fillchar=", func(c *call) (value, error) { return justified(c, '^') }},
		"format":  {anything, methodFormat},
		"isupper": {"", cased(upper)}, "islower": {"", cased(lower)},
	}
	for name, f := range map[string]func(rune) bool{
		"isdigit": unicode.IsDigit, "isdecimal": unicode.IsDigit, "isnumeric": unicode.IsNumber, "isalpha": unicode.IsLetter, "isspace": unicode.IsSpace,
		"isalnum": func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) },
	} {
		all[name] = handler{"", func(c *call) (value, error) {
			text, err := c.input()
			return text != "" && strings.IndexFunc(text, func(r rune) bool { return !f(r) }) < 0, err
		}}
	}
	return all
}

// both returns the text of a method and its first argument.
func both(c *call) (text, arg string, err error) {
	if text, err = c.input(); err != nil {
		return "", "", err
	}
	arg, err = c.text(0, "")
	return text, arg, err
}

func cut(f func(text, part string) string) func(*call) (value, error) {
	return func(c *call) (value, error) {
		text, part, err := both(c)
		return f(text, part), err
	}
}

// affix looks for one or several beginnings or ends.
func affix(f func(text, part string) bool) func(*call) (value, error) {
	return func(c *call) (value, error) {
		text, err := c.input()
		if err != nil {
			return nil, err
		}
		parts := []value{c.bound[0]}
		if l, ok := c.bound[0].(*list); ok {
			parts = l.items
		}
		for _, part := range parts {
			s, ok := part.(string)
			if !ok {
				return nil, problem("a text can begin and end with text, and this is %s // write x|string", kindOf(part))
			}
			if err := c.look(1); err != nil {
				return nil, err
			}
			if f(text, s) {
				return true, nil
			}
		}
		return false, nil
	}
}

func texts(parts []string) *list {
	items := make([]value, len(parts))
	for i, part := range parts {
		items[i] = part
	}
	return newList(items)
}

func split(c *call, fromRight bool) (value, error) {
	text, separator, err := both(c)
	if err != nil {
		return nil, err
	}
	most, err := c.number(1, -1)
	if err != nil {
		return nil, err
	}
	var parts []string
	switch {
	case !c.has(0):
		parts = splitFields(text, most, fromRight)
	case separator == "":
		return nil, problem("a text cannot be split by nothing // write x|list for its letters")
	case fromRight && most >= 0:
		for ; most > 0; most-- {
			i := strings.LastIndex(text, separator)
			if i < 0 {
				break
			}
			parts = append(parts, text[i+len(separator):])
			text = text[:i]
		}
		parts = append(parts, text)
		slices.Reverse(parts)
	case most >= 0:
		parts = strings.SplitN(text, separator, most+1)
	default:
		parts = strings.Split(text, separator)
	}
	return texts(parts), c.make(len(parts))
}

// splitFields splits by white space, as Python's split does without a separator.
func splitFields(text string, most int, fromRight bool) (parts []string) {
	fields := strings.Fields(text)
	if most < 0 || len(fields) <= most {
		return fields
	}
	if fromRight {
		for range most {
			text = strings.TrimRightFunc(text, unicode.IsSpace)
			i := strings.LastIndexFunc(text, unicode.IsSpace)
			_, size := utf8.DecodeRuneInString(text[i:])
			parts, text = append(parts, text[i+size:]), text[:i]
		}
		parts = append(parts, strings.TrimRightFunc(text, unicode.IsSpace))
		slices.Reverse(parts)
		return parts
	}
	for range most {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		i := strings.IndexFunc(text, unicode.IsSpace)
		parts, text = append(parts, text[:i]), text[i:]
	}
	return append(parts, strings.TrimLeftFunc(text, unicode.IsSpace))
}

func splitlines(c *call) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	parts := splitLines(text, c.flag(0, false))
	return texts(parts), c.make(len(parts))
}

// joinItems is sep.join(items).
func joinItems(c *call) (value, error) {
	if l, ok := c.bound[0].(*list); ok {
		for i, v := range l.items {
			if _, ok := v.(string); !ok {
				return nil, problem("element %d is %s, and .join takes texts // write list|join(', ')", i, kindOf(v))
			}
		}
	}
	inner := *c
	inner.in, inner.bound, inner.given = c.bound[0], []value{c.in}, []bool{true}
	if err := defined(inner.in); err != nil {
		return nil, err
	}
	return filterJoin(&inner)
}

func find(c *call, index func(string, string) int) (value, error) {
	text, part, err := both(c)
	if err != nil {
		return nil, err
	}
	i := index(text, part)
	if i < 0 {
		return int64(-1), nil
	}
	return int64(utf8.RuneCountInString(text[:i])), nil
}

func countPart(c *call) (value, error) {
	text, part, err := both(c)
	return int64(strings.Count(text, part)), err
}

func partition(c *call, fromRight bool) (value, error) {
	text, separator, err := both(c)
	if err != nil {
		return nil, err
	}
	if separator == "" {
		return nil, problem("a text cannot be split by nothing // write x|list for its letters")
	}
	i := strings.Index(text, separator)
	if fromRight {
		i = strings.LastIndex(text, separator)
	}
	switch {
	case i >= 0:
		return texts([]string{text[:i], separator, text[i+len(separator):]}), nil
	case fromRight:
		return texts([]string{"", "", text}), nil
	}
	return texts([]string{text, "", ""}), nil
}

func zfill(c *call) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	width, err := c.number(0, 0)
	if err != nil {
		return nil, err
	}
	sign := ""
	if text != "" && strings.IndexByte("+-", text[0]) >= 0 {
		sign, text, width = text[:1], text[1:], width-1
	}
	padded, err := justify(c.budget, text, width, '>', "0")
	return sign + padded, err
}

func justified(c *call, align rune) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	width, err := c.number(0, 0)
	if err != nil {
		return nil, err
	}
	fill, err := c.text(1, " ")
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(fill) != 1 {
		return nil, problem("a text is filled with one letter, and %q has %d", short(fill), utf8.RuneCountInString(fill))
	}
	return justify(c.budget, text, width, align, fill)
}
