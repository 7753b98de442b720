package jobfile

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

var variable = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// expand returns the text of a value with the variables of the environment in the place of ${NAME}.
// $${ stands for ${ itself. What is in a variable is taken as it is. A variable that is not set is
// an error.
func (r *reading) expand(at *yaml.Node) (string, error) {
	node := resolved(at)
	var b strings.Builder
	for rest := node.Value; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			return b.String(), nil
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+len("${"):]
			continue
		}
		b.WriteString(rest[:i])
		rest = rest[i:]
		name := variable.FindString(rest)
		value, problem := lookUp(strings.TrimSuffix(strings.TrimPrefix(name, "${"), "}"))
		if problem == "" && b.Len()+len(value) > maxValueBytes {
			problem = fmt.Sprintf("the value has more than %d bytes with the variable %s", maxValueBytes, name)
		}
		if problem != "" {
			return "", r.file.wrong(within(at, len(node.Value)-len(rest)), "%s", problem)
		}
		if !slices.Contains(r.file.secrets, value) {
			r.file.secrets = append(r.file.secrets, value)
		}
		b.WriteString(value)
		rest = rest[len(name):]
	}
}

// lookUp returns what is in a variable, or says why nothing can be taken from it.
func lookUp(name string) (value, problem string) {
	if name == "" {
		return "", "a variable of the environment is written ${NAME}, and ${ itself $${"
	}
	value, ok := os.LookupEnv(name)
	switch {
	case !ok:
		return "", fmt.Sprintf("the environment has no variable %s: set it, or write $${%s} if the text is meant", name, name)
	case !utf8.ValidString(value):
		return "", fmt.Sprintf("the variable %s is not UTF-8", name)
	}
	return value, ""
}

// within returns a node at the position of a byte of a node's value, as far as that is known: the
// line in a block, if no lines of it were folded.
func within(at *yaml.Node, offset int) *yaml.Node {
	here := *at
	if node := resolved(at); node == at && node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		here.Line += 1 + strings.Count(node.Value[:offset], "\n")
		here.Column = 0
	}
	return &here
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
