package failures

import (
	"regexp"
	"strings"

	"gleaner/internal/text"
)

// What returns a failure's message without where it happened, and without what stands before that.
func What(message string) string {
	if _, where, ok := strings.Cut(message, "generate with model "); ok {
		if _, rest, ok := strings.Cut(where, ": "); ok {
			return rest
		}
	}
	return message
}

// mostCause is how many characters of a cause are kept.
const mostCause = 200

// variable is what differs in the messages of one cause, and what stands for it. The order
// matters: an address holds numbers, and so does an id.
var variable = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`"(?:[^"\\]|\\.)*"`), "…"},
	{regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s,;)]*[^\s,;:.)]`), "ADDRESS"},
	{regexp.MustCompile(`\[?[0-9a-fA-F:.]*(?:\d+\.\d+\.\d+\.\d+|::[0-9a-fA-F]*)\]?(?::\d+)?`), "ADDRESS"},
	{regexp.MustCompile(`\b[a-zA-Z0-9.-]*[a-zA-Z][a-zA-Z0-9.-]*:\d{2,5}\b`), "ADDRESS"},
	{regexp.MustCompile(`\b[a-z0-9][a-z0-9-]*/\d{7,9}(?:\.\d{3})?\b`), "ID"},
	{regexp.MustCompile(`\b(?:sha256:)?[0-9a-f]{12,64}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`), "ID"},
	{regexp.MustCompile(`0x[0-9a-fA-F]+`), "ID"},
	{regexp.MustCompile(`\d+(?:[.,]\d+)*`), "N"},
}

// Cause returns a failure's message without what differs from one failure to another of the same
// cause: where it happened, numbers, ids, addresses, and what is quoted.
func Cause(message string) string {
	cause := text.Clip(text.OneLine(What(message)), 4*mostCause) // foreign: it may be long
	for _, v := range variable {
		cause = v.pattern.ReplaceAllString(cause, v.name)
	}
	return text.Clip(text.Printable(cause), mostCause)
}
