package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Width returns how many columns of a terminal a text without control characters takes: two for
// each wide character, none for marks that stand on the one before.
func Width(s string) int {
	columns := 0
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// Fits returns how many bytes of a text fit into this many columns, at least those of one
// character.
func Fits(s string, columns int) int {
	used := 0
	for at, r := range s {
		if used += runeWidth(r); used > columns && at > 0 {
			return at
		}
	}
	return len(s)
}

// Clip returns the beginning of a text, of at most this many columns, for a line of a table. An
// ellipsis stands for what was cut off.
func Clip(s string, columns int) string {
	if Width(s) <= columns {
		return s
	}
	if columns < 1 {
		return ellipsis
	}
	end := Fits(s, columns-1)
	if Width(s[:end]) > columns-1 { // a wide character where there is no room for one
		end = 0
	}
	return s[:end] + ellipsis
}

// Pad returns a text with blanks behind it, so that it takes at least this many columns.
func Pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(columns-Width(s), 0))
}

// Fold breaks a text into lines of at most this many columns, between words where that is possible.
// Line ends of the text stay; blanks at the place of a break go. With 0 columns no line breaks.
func Fold(s string, columns int) (lines []string) {
	if columns <= 0 {
		return strings.Split(s, "\n")
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(s, "\t", "    "), "\n") {
		for {
			end := Fits(line, columns)
			if end == len(line) {
				lines = append(lines, line)
				break
			}
			next := end
			if space := strings.LastIndexByte(line[:end+1], ' '); space > 0 {
				end, next = space, space+1
			}
			lines = append(lines, line[:end])
			line = line[next:]
		}
	}
	return lines
}

// Wrap breaks lines that have more than this many columns between words, where none has to be
// pasted: what stands between backquotes, a command, stays whole, and so does what begins a line.
func Wrap(s string, columns int) string {
	if columns <= 0 {
		return s
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(s, "\n") {
		at, blanks := 0, ""
		for i, word := range words(line) {
			said := strings.TrimRight(word, " ")
			width := Width(strings.TrimRight(said, "\n"))
			if at += len(blanks) + width; i > 0 && at > columns {
				at, blanks = width, "\n"
			}
			b.WriteString(blanks + said)
			blanks = word[len(said):]
		}
		b.WriteString(blanks)
	}
	return b.String()
}

// words cuts a line behind each of its blanks that does not stand between backquotes or at the
// beginning.
func words(line string) (words []string) {
	begin, quoted := 0, false
	for i, c := range line {
		switch {
		case c == '`':
			quoted = !quoted
		case c == ' ' && !quoted && strings.TrimLeft(line[:i], " ") != "" && !strings.HasPrefix(line[i+1:], " "):
			words = append(words, line[begin:i+1])
			begin = i + 1
		}
	}
	return append(words, line[begin:])
}
