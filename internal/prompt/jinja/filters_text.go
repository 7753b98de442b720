package jinja

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// textFilters are the filters that make a text of a text.
func textFilters() map[string]handler {
	return map[string]handler{
		"upper":          {"", mapped(upper)},
		"lower":          {"", mapped(lower)},
		"capitalize":     {"", mapped(capitalized)},
		"title":          {"", mapped(titled)},
		"string":         {"", mapped(func(s string) string { return s })},
		"safe":           {"", mapped(func(s string) string { return s })},
		"escape":         {"", mapped(escaped)},
		"e":              {"", mapped(escaped)},
		"forceescape":    {"", mapped(escaped)},
		"striptags":      {"", mapped(withoutTags)},
		"trim":           {"chars=", trimmed(strings.TrimFunc)},
		"center":         {"width=", filterCenter},
		"indent":         {"width= first= blank=", filterIndent},
		"replace":        {"old new count=", filterReplace},
		"truncate":       {"length= killwords= end= leeway=", filterTruncate},
		"wordwrap":       {"width= break_long_words= wrapstring= break_on_hyphens=", filterWordwrap},
		"wordcount":      {"", filterWordcount},
		"urlencode":      {"", filterURLEncode},
		"xmlattr":        {"autospace=", filterXMLAttr},
		"format":         {anything, filterFormat},
		"filesizeformat": {"binary=", filterFileSize},
		"tojson":         {"indent=", filterToJSON},
	}
}

func filterCenter(c *call) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	width, err := c.number(0, 80)
	if err != nil {
		return nil, err
	}
	return centered(c.budget, text, width, " ")
}

func filterIndent(c *call) (value, error) {
	text, err := c.onlyText()
	if err != nil {
		return nil, err
	}
	var indent string
	if s, ok := boundAt(c, 0).(string); ok {
		indent = s
	} else {
		width, err := c.number(0, 4)
		if err != nil {
			return nil, err
		}
		if indent, err = spaces(c.budget, width); err != nil {
			return nil, err
		}
	}
	first, blank := c.flag(1, false), c.flag(2, false)
	lines := splitLines(text+"\n", false)
	if err := c.budget.text(len(text) + len(lines)*len(indent)); err != nil {
		return nil, err
	}
	for i, line := range lines {
		if i == 0 && first || i > 0 && (line != "" || blank) {
			lines[i] = indent + line
		}
	}
	return strings.Join(lines, "\n"), nil
}

func boundAt(c *call, i int) value {
	if i < len(c.bound) {
		return c.bound[i]
	}
	return nil
}

func filterTruncate(c *call) (value, error) {
	text, err := c.onlyText()
	if err != nil {
		return nil, err
	}
	length, err := c.number(0, 255)
	if err != nil {
		return nil, err
	}
	end, err := c.text(2, "...")
	if err != nil {
		return nil, err
	}
	leeway, err := c.number(3, 5)
	if err != nil {
		return nil, err
	}
	runes, tail := []rune(text), utf8.RuneCountInString(end)
	switch {
	case length < tail:
		return nil, problem("|truncate cannot cut to %d letters, for its end has %d // write |truncate(%d, end='')", length, tail, length)
	case leeway < 0:
		return nil, problem("the leeway of |truncate is below 0 // write |truncate(%d, leeway=0)", length)
	case len(runes) <= length+leeway:
		return text, nil
	}
	cut := string(runes[:length-tail])
	if !c.flag(1, false) {
		if i := strings.LastIndexByte(cut, ' '); i >= 0 {
			cut = cut[:i]
		}
	}
	return c.made(cut + end)
}

func filterWordcount(c *call) (value, error) {
	text, err := c.input()
	n, inside := 0, false
	for _, r := range text {
		letter := isNameLetter(r)
		if letter && !inside {
			n++
		}
		inside = letter
	}
	return int64(n), err
}

// quotedURL returns a text as part of an address; what is safe stays.
func quotedURL(s, safe string) string {
	out := strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	out = strings.ReplaceAll(out, "%7E", "~")
	if safe == "/" {
		out = strings.ReplaceAll(out, "%2F", "/")
	}
	return out
}

func filterURLEncode(c *call) (value, error) {
	switch in := c.in.(type) {
	case *dict:
		items := make([]value, len(in.keys))
		for i, key := range in.keys {
			items[i] = newList([]value{key, in.values[i]})
		}
		return encodedPairs(c, items)
	case *list:
		return encodedPairs(c, in.items)
	}
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	return c.made(quotedURL(text, "/"))
}

func encodedPairs(c *call, items []value) (value, error) {
	var parts []string
	size := 0
	for _, pair := range items {
		l, ok := pair.(*list)
		if !ok || len(l.items) != 2 {
			return nil, problem("|urlencode takes text, an object or a list of pairs // write x|string|urlencode")
		}
		var both [2]string
		for i, v := range l.items {
			text, err := show(c.budget, v)
			if err != nil {
				return nil, err
			}
			both[i] = strings.ReplaceAll(quotedURL(text, ""), "%20", "+")
		}
		parts = append(parts, both[0]+"="+both[1])
		size += len(both[0]) + len(both[1]) + 2
		if err := c.budget.text(size); err != nil {
			return nil, err
		}
	}
	return strings.Join(parts, "&"), c.look(len(items))
}

func filterXMLAttr(c *call) (value, error) {
	d, ok := c.in.(*dict)
	if !ok {
		return nil, problem("|xmlattr takes an object // write {'name': x}|xmlattr")
	}
	var out strings.Builder
	for i, key := range d.keys {
		if d.values[i] == nil {
			continue
		}
		if _, ok := d.values[i].(*undefined); ok {
			continue
		}
		name, err := show(c.budget, key)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(name, " \t\n\f\r/>=") {
			return nil, problem("%q is no name of an attribute", name)
		}
		text, err := show(c.budget, d.values[i])
		if err != nil {
			return nil, err
		}
		if out.Len() > 0 || c.flag(0, true) {
			out.WriteByte(' ')
		}
		out.WriteString(escaped(name) + `="` + escaped(text) + `"`)
		if err := c.budget.text(out.Len()); err != nil {
			return nil, err
		}
	}
	return out.String(), c.look(len(d.keys))
}

func filterFileSize(c *call) (value, error) {
	var n float64
	v, err := toFloat(c.in, nil)
	if err != nil {
		return nil, err
	}
	n, ok := v.(float64)
	if !ok {
		return nil, problem("|filesizeformat takes a number, and this is %s", kindOf(c.in))
	}
	base, units := 1000.0, []string{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	if c.flag(0, false) {
		base, units = 1024, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	}
	switch {
	case n == 1:
		return "1 Byte", nil
	case n < base:
		return strconv.FormatFloat(float64(int64(n)), 'f', 0, 64) + " Bytes", nil
	}
	unit, i := base*base, 0
	for ; n >= unit && i < len(units)-1; i++ {
		unit *= base
	}
	return strconv.FormatFloat(base*n/unit, 'f', 1, 64) + " " + units[i], nil
}

func filterToJSON(c *call) (value, error) {
	indent, err := c.number(0, 0)
	if err != nil {
		return nil, err
	}
	if indent > maxDepth {
		return nil, problem("an indent of %d is too wide // write |tojson(indent=2)", indent)
	}
	return toJSON(c.budget, c.in, layout{indent: strings.Repeat(" ", max(indent, 0))})
}
