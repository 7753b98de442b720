package cli

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gleaner/internal/pipeline"
)

// CompletionScript is the command completion: what a shell has to read to complete commands.
type CompletionScript struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

//go:embed completion.bash
var completionBash string

//go:embed completion.zsh
var completionZsh string

//go:embed completion.fish
var completionFish string

// Run prints the script.
func (c *CompletionScript) Run(t *Terminal) error {
	script := map[string]string{"bash": completionBash, "zsh": completionZsh, "fish": completionFish}[c.Shell]
	_, err := fmt.Fprint(t.Out, script)
	return err
}

// Candidates are the words by which the last of some words of a command line can go on.
type Candidates struct {
	Words []string
	Runs  bool // a name of a run, too
}

// Complete returns the candidates for the last of the words behind a program's name, which may be
// empty. None are returned where it is the name of a file, which the shell completes itself.
func Complete(program *kong.Kong, words []string) Candidates {
	if len(words) == 0 {
		words = []string{""}
	}
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "=" }) // bash has it as a word
	node, last := program.Model.Node, words[len(words)-1]
	var waiting *kong.Flag // for its value
	for _, word := range words[:len(words)-1] {
		switch {
		case waiting != nil:
			waiting = nil
		case strings.HasPrefix(word, "-"):
			waiting = flagNamed(node, word)
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word || slices.Contains(n.Aliases, word) }); i >= 0 {
				node = node.Children[i]
			}
		}
	}
	switch {
	case waiting != nil:
		return valuesOf(waiting, last)
	case strings.HasPrefix(last, "-"):
		return Candidates{Words: beginWith(last, flagNames(node))}
	}
	var names []string
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	for _, p := range node.Positional {
		names = append(names, enumOf(p.Enum)...)
	}
	return Candidates{Words: beginWith(last, names)}
}

// flagNamed returns the flag that a word names, if its value is the next word.
func flagNamed(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if word == "--"+flag.Name && !flag.IsBool() {
				return flag
			}
		}
	}
	return nil
}

// flagNames returns the flags of a command, in order.
func flagNames(node *kong.Node) (names []string) {
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			names = append(names, "--"+flag.Name)
		}
	}
	slices.Sort(names)
	return names
}

// valuesOf returns the values that a flag may have, as far as they are known.
func valuesOf(flag *kong.Flag, begin string) Candidates {
	switch flag.Name {
	case "run", "like":
		return Candidates{Words: []string{}, Runs: true}
	case "class":
		return Candidates{Words: beginWith(begin, pipeline.LetterClasses())}
	}
	return Candidates{Words: beginWith(begin, enumOf(flag.Enum))}
}

// enumOf returns the words of an enumeration in kong's form. A flag that may be left open has an
// empty one, too.
func enumOf(enum string) []string {
	return slices.DeleteFunc(strings.Split(enum, ","), func(w string) bool { return w == "" })
}

func beginWith(begin string, words []string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, begin) })
}
