package text

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// commands reports whether a terminal, a log viewer or an editor may take a character for a
// command: the control characters, which begin escape sequences, the separators that end a line in
// some programs only, and those that turn the direction of writing, so that text is read otherwise
// than it is written (Unicode Standard Annex #9, section 2).
func commands(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// Printable returns a text in which no character is a command. It may come from a dataset, from a
// model, or from another person's machine. Line ends and tabs stay.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) && r != '\n' && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, s)
}

// PrintableJSON returns a JSON text of the same value in which no character is a command: they are
// written as \u and their number.
func PrintableJSON(data string) string {
	if !strings.ContainsFunc(data, unescaped) {
		return data
	}
	var b strings.Builder
	for _, r := range data {
		if unescaped(r) { // inside of a string: elsewhere JSON allows none
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// unescaped reports whether a character is a command that JSON encoders leave in a string.
func unescaped(r rune) bool { return r > unicode.MaxASCII && commands(r) || r == 0x7f }

// An Escaper writes what a function makes of each piece that is written to it. A piece has to be of
// whole characters, as those of fmt, json and zap are.
type Escaper struct {
	To   io.Writer
	Make func(string) string
}

// Write writes what is made of a piece.
func (w Escaper) Write(piece []byte) (int, error) {
	if _, err := io.WriteString(w.To, w.Make(string(piece))); err != nil {
		return 0, err
	}
	return len(piece), nil
}
