package jinja

import (
	"math"
	"strconv"
	"strings"
)

// toJSON returns a value as JSON.
func toJSON(b *budget, v value, l layout) (string, error) {
	var out strings.Builder
	if err := writeJSON(b, &out, v, l); err != nil {
		return "", err
	}
	return out.String(), b.text(out.Len())
}

// A layout says how JSON is written.
type layout struct {
	indent string // of one level; empty: all on one line
	prefix string
}

func (l layout) deeper() layout { return layout{l.indent, l.prefix + l.indent} }

// writeJSON writes a value as JSON, spaced as Python does.
func writeJSON(b *budget, out *strings.Builder, v value, l layout) error {
	if out.Len() > maxText {
		return b.text(out.Len())
	}
	switch v := v.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case int64:
		out.WriteString(strconv.FormatInt(v, 10))
	case float64:
		out.WriteString(floatText(v))
	case decimal:
		out.WriteString(v.text)
	case bigNumber:
		out.WriteString(string(v))
	case string:
		writeString(out, v)
	case *list:
		return writeList(b, out, v, l)
	case *dict:
		return writeDict(b, out, v, l)
	case *undefined:
		return defined(v)
	default:
		return problem("%s cannot be shown // call it, or show one of its attributes", kindOf(v))
	}
	return nil
}

func writeList(b *budget, out *strings.Builder, v *list, l layout) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := b.look(len(v.items)); err != nil {
		return err
	}
	out.WriteByte('[')
	for i, item := range v.items {
		separate(out, i, l.deeper())
		if err := writeJSON(b, out, item, l.deeper()); err != nil {
			return err
		}
	}
	end(out, len(v.items), l)
	out.WriteByte(']')
	return nil
}

func writeDict(b *budget, out *strings.Builder, v *dict, l layout) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := b.look(len(v.keys)); err != nil {
		return err
	}
	out.WriteByte('{')
	for i, key := range v.keys {
		separate(out, i, l.deeper())
		text, ok := key.(string)
		if !ok {
			var err error
			if text, err = show(b, key); err != nil {
				return err
			}
		}
		writeString(out, text)
		out.WriteString(": ")
		if err := writeJSON(b, out, v.values[i], l.deeper()); err != nil {
			return err
		}
	}
	end(out, len(v.keys), l)
	out.WriteByte('}')
	return nil
}

// separate writes what stands before the element i.
func separate(out *strings.Builder, i int, l layout) {
	switch {
	case l.indent != "" && i > 0:
		out.WriteString(",\n" + l.prefix)
	case l.indent != "":
		out.WriteString("\n" + l.prefix)
	case i > 0:
		out.WriteString(", ")
	}
}

func end(out *strings.Builder, n int, l layout) {
	if l.indent != "" && n > 0 {
		out.WriteString("\n" + l.prefix)
	}
}

const hexDigits = "0123456789abcdef"

// writeString writes a text as JSON, with no more escapes than JSON wants.
func writeString(out *strings.Builder, s string) {
	out.WriteByte('"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		out.WriteString(s[start:i])
		start = i + 1
		switch c {
		case '"', '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case '\n':
			out.WriteString(`\n`)
		case '\r':
			out.WriteString(`\r`)
		case '\t':
			out.WriteString(`\t`)
		case '\b':
			out.WriteString(`\b`)
		case '\f':
			out.WriteString(`\f`)
		default:
			out.WriteString(`\u00`)
			out.WriteByte(hexDigits[c>>4])
			out.WriteByte(hexDigits[c&15])
		}
	}
	out.WriteString(s[start:])
	out.WriteByte('"')
}

// floatText returns a float as Python shows it.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
