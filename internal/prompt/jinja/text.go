package jinja

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// mapped returns a filter for which a function says what becomes of a text.
func mapped(f func(string) string) func(*call) (value, error) {
	return func(c *call) (value, error) {
		text, err := c.input()
		if err != nil {
			return nil, err
		}
		if !isASCII(text) {
			if err := c.handle(7 * len(text)); err != nil { // the tables of all languages take longer
				return nil, err
			}
		}
		return c.made(f(text))
	}
}

// isASCII says whether a text has letters of English only.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// upper makes all letters large, and SS of ß, as Python does.
func upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

// capitalized returns a text with its first letter large and all others small.
func capitalized(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return cases.Title(language.Und).String(string(r)) + lower(s[size:])
}

// titled capitalizes the words of a text, which begin behind white space, brackets and hyphens.
func titled(s string) string {
	var out strings.Builder
	first := true
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || strings.ContainsRune("-({[<", r):
			first = true
			out.WriteRune(r)
			continue
		case first:
			out.WriteRune(unicode.ToUpper(r))
		default:
			out.WriteRune(unicode.ToLower(r))
		}
		first = false
	}
	return out.String()
}

func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}

// withoutTags returns a text without comments and tags of HTML, with its entities resolved.
func withoutTags(s string) string {
	for _, pair := range [][2]string{{"<!--", "-->"}, {"<", ">"}} {
		var out strings.Builder
		for {
			before, rest, found := strings.Cut(s, pair[0])
			_, after, ends := strings.Cut(rest, pair[1])
			if !found || !ends {
				break
			}
			out.WriteString(before)
			s = after
		}
		s = out.String() + s
	}
	return html.UnescapeString(strings.Join(strings.Fields(s), " "))
}

// spaces returns white space, which takes from the budget before it is made.
func spaces(b *budget, n int) (string, error) {
	if n <= 0 {
		return "", nil
	}
	if err := b.text(n); err != nil {
		return "", err
	}
	return strings.Repeat(" ", n), nil
}

func centered(b *budget, text string, width int, fill string) (value, error) {
	missing := width - utf8.RuneCountInString(text)
	if missing <= 0 {
		return text, nil
	}
	if err := b.text(len(text) + missing*len(fill)); err != nil {
		return nil, err
	}
	left := missing/2 + missing&width&1
	return strings.Repeat(fill, left) + text + strings.Repeat(fill, missing-left), nil
}

func replaced(b *budget, text string, pair [2]string, count int) (value, error) {
	n := strings.Count(text, pair[0])
	if count >= 0 {
		n = min(n, count)
	}
	if err := b.text(len(text) + n*max(len(pair[1])-len(pair[0]), 0)); err != nil {
		return nil, err
	}
	return strings.Replace(text, pair[0], pair[1], count), nil
}

func filterReplace(c *call) (value, error) {
	text, err := c.input()
	if err != nil {
		return nil, err
	}
	old, err := c.text(0, "")
	if err != nil {
		return nil, err
	}
	replacement, err := c.text(1, "")
	if err != nil {
		return nil, err
	}
	count, err := c.number(2, -1)
	if err != nil {
		return nil, err
	}
	return replaced(c.budget, text, [2]string{old, replacement}, count)
}

// titledWords makes the first of each row of letters large, as the method title does.
func titledWords(s string) string {
	last := ' '
	return strings.Map(func(r rune) rune {
		first := !unicode.IsLetter(last)
		last = r
		if first {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, s)
}

func swapped(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, strings.ReplaceAll(s, "ß", "ss"))
}

func trimmed(trim func(string, func(rune) bool) string) func(*call) (value, error) {
	return func(c *call) (value, error) {
		text, err := c.input()
		if err != nil || !c.has(0) {
			return trim(text, unicode.IsSpace), err
		}
		chars, err := c.text(0, "")
		if err != nil {
			return nil, err
		}
		if err := c.handle(len(text) * (len(chars)/16 + 1)); err != nil {
			return nil, err
		}
		return trim(text, func(r rune) bool { return strings.ContainsRune(chars, r) }), nil
	}
}

// splitLines splits a text at its line ends of all kinds.
func splitLines(text string, keepEnds bool) (parts []string) {
	for text != "" {
		i := strings.IndexAny(text, "\n\r\v\f\u0085\u2028\u2029")
		if i < 0 {
			parts = append(parts, text)
			break
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		if strings.HasPrefix(text[i:], "\r\n") {
			size = 2
		}
		if keepEnds {
			parts = append(parts, text[:i+size])
		} else {
			parts = append(parts, text[:i])
		}
		text = text[i+size:]
	}
	return parts
}

// justify fills a text up to a width.
func justify(b *budget, text string, width int, align rune, fill string) (string, error) {
	missing := width - utf8.RuneCountInString(text)
	if missing <= 0 {
		return text, nil
	}
	if align == '^' {
		v, err := centered(b, text, width, fill)
		s, _ := v.(string)
		return s, err
	}
	if err := b.text(len(text) + missing*len(fill)); err != nil {
		return "", err
	}
	if align == '<' {
		return text + strings.Repeat(fill, missing), nil
	}
	return strings.Repeat(fill, missing) + text, nil
}
