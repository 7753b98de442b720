package cli

import (
	"io"
	"regexp"
	"strings"

	"gleaner/internal/text"
)

// A Colour is one of a terminal's own, which its user has chosen to be readable.
type Colour string

// The colours.
const (
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
)

// Painted is a word that has a colour where there are colours. It says without the colour what it
// means.
type Painted struct {
	At     *regexp.Regexp // its first group is the word
	Colour Colour
}

// Paint writes text to Out or Err of a terminal, with colours if there are any. What others say
// commands the terminal no more than in any other text: it is escaped before words are painted.
func Paint(to io.Writer, s string, words ...Painted) error {
	if !Colours(to) {
		_, err := io.WriteString(to, s)
		return err
	}
	_, err := io.WriteString(raw(to), paint(text.Printable(s), words))
	return err
}

func paint(s string, words []Painted) string {
	for _, word := range words {
		var b strings.Builder
		from := 0
		for _, at := range word.At.FindAllStringSubmatchIndex(s, -1) {
			b.WriteString(s[from:at[2]] + "\x1b[" + string(word.Colour) + "m" + s[at[2]:at[3]] + "\x1b[0m")
			from = at[3]
		}
		s = b.String() + s[from:]
	}
	return s
}
