package cli

import (
	_ "embed"
	"strings"

	"github.com/alecthomas/kong"

	"gleaner/internal/advice"
)

// The manual has for each verb of gleaner a paragraph: the verb, what it needs, exit codes that
// mean something of its own, and examples, each followed by what it is one of.
//
//go:embed manual.txt
var manual string

// addManual puts the manual into the help of the commands.
func addManual(program *kong.Kong) {
	pages := map[string]string{}
	for paragraph := range strings.SplitSeq(manual, "\n\n") {
		verb, rest, _ := strings.Cut(strings.TrimSpace(paragraph), "\n")
		pages[verb] = rest
	}
	var walk func(node *kong.Node, words []string)
	walk = func(node *kong.Node, words []string) {
		for _, child := range node.Children {
			walk(child, append(words[:len(words):len(words)], child.Name))
		}
		verb := strings.Join(words, " ")
		switch {
		case program.Model.Name == "consumer" && verb == "":
			verb = "work"
		case program.Model.Name == "sink" && verb == "serve":
			verb = "sink"
		}
		if page, ok := pages[verb]; ok {
			node.Detail = strings.TrimSpace(pageOf(verb, page) + "\n\n" + node.Detail)
		}
	}
	walk(program.Model.Node, nil)
}

// pageOf lays out what the manual says of a verb, for those who call this program.
func pageOf(verb, page string) string {
	var needs, codes, examples []string
	for line := range strings.SplitSeq(page, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "needs:":
			needs = append(needs, "Needs "+value+".")
		case "$":
			_, args, _ := strings.Cut(value+" ", verb+" ")
			examples = append(examples, "    "+strings.TrimSpace(advice.Anywhere(verb)+" "+args))
		case "#":
			examples[len(examples)-1] += "\n        " + value
		default:
			codes = append(codes, "Exit code "+strings.TrimSuffix(key, ":")+": "+value+".")
		}
	}
	said := strings.Join(append(needs, codes...), " ") + " Exit codes of all commands: 0 done, 1 failed, 2 wrong use, 130 interrupted."
	return said + "\n\nExamples:\n\n" + strings.Join(examples, "\n")
}
