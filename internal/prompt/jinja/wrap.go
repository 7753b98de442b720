package jinja

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// filterWordwrap breaks lines that are longer than a width, as Python's textwrap does.
func filterWordwrap(c *call) (value, error) {
	text, err := c.onlyText()
	if err != nil {
		return nil, err
	}
	width, err := c.number(0, 79)
	if err != nil {
		return nil, err
	}
	if width < 1 {
		return nil, problem("|wordwrap takes a width from 1 on // write |wordwrap(79)")
	}
	separator, err := c.text(2, "\n")
	if err != nil {
		return nil, err
	}
	breakWords := c.flag(1, true)
	split := hyphenation{}
	if c.flag(3, true) {
		split = hyphenation{regexp.MustCompile(`\w[^0-9\W]-`), regexp.MustCompile(`^\w[^0-9\W]|^\w+[^0-9\W]`)}
	}
	if err := c.handle(4096 + 31*len(text)); err != nil { // what the expressions cost
		return nil, err
	}
	var lines []string
	for _, line := range splitLines(text, false) {
		wrapped := wrapLine(split.chunks(line), width, breakWords)
		lines = append(lines, strings.Join(wrapped, separator))
	}
	if err := c.make(len(lines)); err != nil {
		return nil, err
	}
	return c.made(strings.Join(lines, separator))
}

// A hyphenation says where a word may be broken: behind the first, if the second follows.
type hyphenation struct{ behind, before *regexp.Regexp }

// chunks splits a line into words, the white space between them, and parts of words with hyphens.
func (h hyphenation) chunks(line string) (all []string) {
	for line != "" {
		space := unicode.IsSpace(firstRune(line))
		end := strings.IndexFunc(line, func(r rune) bool { return unicode.IsSpace(r) != space })
		if end < 0 {
			end = len(line)
		}
		word := line[:end]
		line = line[end:]
		for from := 0; !space && h.behind != nil; {
			at := h.behind.FindStringIndex(word[from:])
			if at == nil {
				break
			}
			if cut := from + at[1]; h.before.MatchString(word[cut:]) {
				all = append(all, word[:cut])
				word, from = word[cut:], 0
			} else {
				from = cut
			}
		}
		all = append(all, word)
	}
	return all
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// wrapLine puts chunks into lines.
func wrapLine(all []string, width int, breakWords bool) (lines []string) {
	slices.Reverse(all) // the next chunk is the last one
	next := func() string { return all[len(all)-1] }
	take := func() string {
		chunk := next()
		all = all[:len(all)-1]
		return chunk
	}
	for len(all) > 0 {
		var line []string
		length := 0
		if len(lines) > 0 && strings.TrimSpace(next()) == "" {
			take()
		}
		for len(all) > 0 {
			n := utf8.RuneCountInString(next())
			if length+n > width {
				break
			}
			line, length = append(line, take()), length+n
		}
		if len(all) > 0 && utf8.RuneCountInString(next()) > width {
			switch {
			case breakWords:
				parts := broken([]rune(take()), max(width-length, 1), width)
				line = append(line, parts[0])
				slices.Reverse(parts[1:])
				all = append(all, parts[1:]...)
			case len(line) == 0:
				line = append(line, take())
			}
		}
		if n := len(line); n > 0 && strings.TrimSpace(line[n-1]) == "" {
			line = line[:n-1]
		}
		if len(line) > 0 {
			lines = append(lines, strings.Join(line, ""))
		}
	}
	return lines
}

// broken cuts a word into a first part and into parts as wide as a line.
func broken(word []rune, first, width int) []string {
	parts := []string{string(word[:first])}
	for part := range slices.Chunk(word[first:], width) {
		parts = append(parts, string(part))
	}
	return parts
}
