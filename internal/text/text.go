// Package text makes text from other sources fit to be stored and shown: valid UTF-8, of bounded
// length, and without characters that a terminal takes for commands.
package text

import (
	"strings"
	"unicode/utf8"
)

const ellipsis = "…"

// Shorten returns the beginning of a text, as valid UTF-8 of at most this many bytes. What was
// cut off shows as an ellipsis, if there is room for one.
func Shorten(s string, maxBytes int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= maxBytes {
		return s
	}
	if maxBytes < len(ellipsis) {
		return ""
	}
	end := maxBytes - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// End returns the end of a text, as valid UTF-8 of at most this many bytes. An ellipsis stands for
// what was cut off, if there is room for one.
func End(s string, maxBytes int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= maxBytes {
		return s
	}
	if maxBytes < len(ellipsis) {
		return ""
	}
	start := len(s) - maxBytes + len(ellipsis)
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	return ellipsis + s[start:]
}

// OneLine returns a text with every sequence of white space replaced by one space.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Ends returns the beginning and the end of a text, as valid UTF-8 of at most this many bytes. An
// ellipsis stands for what was cut out between them.
func Ends(s string, maxBytes int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= maxBytes {
		return s
	}
	half := max(maxBytes-len(ellipsis), 0) / 2
	start, end := half, len(s)-half
	for start > 0 && !utf8.RuneStart(s[start]) {
		start--
	}
	for end < len(s) && !utf8.RuneStart(s[end]) {
		end++
	}
	if maxBytes < len(ellipsis) {
		return ""
	}
	return s[:start] + ellipsis + s[end:]
}
