package schema

import (
	"encoding/json"
	"strings"
	"unicode"
)

const (
	bom   = "\uFEFF"
	fence = "```"
)

// unwrap returns the JSON of an answer without what stands around it. An answer that is wrapped in
// another way, or is ambiguous, stays as it is, but for white space.
func unwrap(answer string) string {
	answer = trim(answer)
	if json.Valid([]byte(answer)) {
		return answer
	}
	before, rest, found := strings.Cut(answer, fence)
	if !found || !isProse(before) {
		return answer
	}
	rest = strings.TrimLeft(rest, " \t")
	for _, language := range []string{"json", "JSON", "Json"} {
		if after, ok := strings.CutPrefix(rest, language); ok {
			rest = after
			break
		}
	}
	decoder := json.NewDecoder(strings.NewReader(rest))
	var value json.RawMessage
	if decoder.Decode(&value) != nil { // it is no JSON, or was written in another language
		return answer
	}
	end := decoder.InputOffset()
	after, found := strings.CutPrefix(strings.TrimLeftFunc(rest[end:], unicode.IsSpace), fence)
	if !found || !isProse(after) {
		return answer
	}
	return trim(rest[:end])
}

// trim leaves out white space and byte order marks at both ends.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || string(r) == bom })
}

// isProse reports whether a text around a fence holds neither another fence nor what may be another
// answer.
func isProse(s string) bool { return !strings.Contains(s, fence) && !strings.ContainsAny(s, "{}") }
