package schema

import (
	"encoding/json"
	"strings"
	"unicode"
)

const bom = "\uFEFF"

// unwrap returns the JSON of an answer without what stands around it. An answer that is wrapped in
// another way, or is ambiguous, stays as it is, but for white space.
func unwrap(answer string) string {
	answer = trim(answer)
	if json.Valid([]byte(answer)) {
		return answer
	}
	before, fence, rest := cutFence(answer)
	if fence == "" || !isProse(before) {
		return answer
	}
	rest = strings.TrimLeft(rest, " \t")
	const language = "json"
	if len(rest) > len(language) && strings.EqualFold(rest[:len(language)], language) {
		rest = rest[len(language):]
	}
	decoder := json.NewDecoder(strings.NewReader(rest))
	var value json.RawMessage
	if decoder.Decode(&value) != nil { // it is no JSON, or was written in another language
		return answer
	}
	end := decoder.InputOffset()
	after, closed := strings.CutPrefix(strings.TrimLeftFunc(rest[end:], unicode.IsSpace), fence)
	if !closed || !isProse(strings.TrimLeft(after, fence[:1])) {
		return answer
	}
	return trim(rest[:end])
}

// cutFence returns what stands before the first fence of Markdown, the fence, which is three or
// more of the same character, and what stands behind it.
func cutFence(s string) (before, fence, after string) {
	at := -1
	for _, three := range []string{"```", "~~~"} {
		if i := strings.Index(s, three); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at < 0 {
		return s, "", ""
	}
	after = strings.TrimLeft(s[at:], s[at:at+1])
	return s[:at], s[at : len(s)-len(after)], after
}

// trim leaves out white space and byte order marks at both ends.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || string(r) == bom })
}

// isProse reports whether a text around a fence holds neither another fence nor a line that may
// begin another answer.
func isProse(s string) bool {
	for line := range strings.Lines(s) {
		if line = trim(line); strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
			return false
		}
	}
	_, fence, _ := cutFence(s)
	return fence == ""
}
