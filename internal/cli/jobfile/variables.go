package jobfile

import (
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand returns the text of a value with the variables of the environment in the place of ${NAME}.
// $${ stands for ${ itself. What is in a variable is taken as it is. A variable that is not set is
// an error.
func (r *reading) expand(at *yaml.Node) (string, error) {
	node := resolved(at)
	var b strings.Builder
	for rest := node.Value; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			rest = after
			continue
		}
		b.WriteString(before)
		match := variable.FindStringSubmatch("${" + after)
		here := *at
		if node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			here.Line += 1 + strings.Count(node.Value[:len(node.Value)-len(after)], "\n") // as far as no line was folded
			here.Column = 0
		}
		if match == nil {
			return "", r.file.wrong(&here, "a variable of the environment is written ${NAME}, and ${ itself $${")
		}
		value, ok := os.LookupEnv(match[1])
		if !ok {
			return "", r.file.wrong(&here, "the environment has no variable %s: set it, or write $${%s} if the text is meant", match[1], match[1])
		}
		if !utf8.ValidString(value) {
			return "", r.file.wrong(&here, "the variable %s is not UTF-8", match[1])
		}
		if b.Len()+len(value) > maxValueBytes {
			return "", r.file.wrong(&here, "the value has more than %d bytes with the variable %s", maxValueBytes, match[1])
		}
		r.file.secrets = append(r.file.secrets, value)
		b.WriteString(value)
		rest = strings.TrimPrefix("${"+after, match[0])
	}
}

// Written returns the value of a flag as the file writes it, if there is a variable of the
// environment in it, and otherwise nothing. Several values have commas between them.
func (f *Job) Written(flag *kong.Flag) string {
	if f == nil {
		return ""
	}
	e, ok := f.entry(flag)
	if !ok {
		return ""
	}
	value := resolved(e.value)
	parts := value.Content
	if value.Kind == yaml.ScalarNode {
		parts = []*yaml.Node{value}
	}
	var words []string
	found := false
	for i, n := range parts {
		if n = resolved(n); n.Kind != yaml.ScalarNode {
			continue
		}
		word := n.Value
		found = found || strings.Contains(strings.ReplaceAll(word, "$${", ""), "${")
		if value.Kind == yaml.MappingNode && i%2 == 0 {
			words = append(words, word+"=")
			continue
		}
		if word = strings.TrimSuffix(word, "\n"); !strings.HasPrefix(word, "${") { // which may be a folder
			word = f.pathOf(flag, word)
		}
		if value.Kind == yaml.MappingNode {
			words[len(words)-1] += word
			continue
		}
		words = append(words, word)
	}
	if !found {
		return ""
	}
	return strings.Join(words, ",")
}
