package jobfile

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gleaner/internal/text"
)

//go:embed keys.txt
var keys string

// Keys returns the flags that some command of some program takes from a file, in order. A program
// with few commands knows by them which keys are for others; a test compares them with the flags.
func Keys() []string { return strings.Fields(keys) }

// TagByHand marks the flag of a command that is never taken from a file: it confirms something
// dangerous, or says what a single command is about. Its value names further flags of the command,
// with commas between them, that are not either, because they say what is confirmed.
const TagByHand = "byhand"

// isByHand reports whether a flag of this name is never taken from a file, whatever command has it.
func isByHand(name string) bool {
	return slices.Contains([]string{"yes", "force", "take-over", "config", "help", "version"}, name)
}

// Takes reports whether a flag is taken from a file. Siblings are the flags of the same command.
func Takes(flag *kong.Flag, siblings []*kong.Flag) bool {
	if isByHand(flag.Name) || flag.Tag.Has(TagByHand) {
		return false
	}
	return !slices.ContainsFunc(siblings, func(s *kong.Flag) bool {
		return slices.Contains(strings.Split(s.Tag.Get(TagByHand), ","), flag.Name)
	})
}

// names returns the names of all flags below a command, with whether some command takes it from a
// file.
func names(node *kong.Node) map[string]bool {
	all := map[string]bool{}
	for _, flag := range node.Flags {
		takes := Takes(flag, node.Flags)
		for _, name := range append([]string{flag.Name}, flag.Aliases...) {
			all[name] = all[name] || takes
		}
	}
	for _, child := range node.Children {
		for name, takes := range names(child) {
			all[name] = all[name] || takes
		}
	}
	return all
}

// TakenBy returns the names of the flags that some command of a program takes from a file, in
// order.
func TakenBy(app *kong.Application) (taken []string) {
	for name, takes := range names(app.Node) {
		if takes {
			taken = append(taken, name)
		}
	}
	slices.Sort(taken)
	return taken
}

// Validate refuses keys that no command takes: it names the first ten of them, with the names that
// are like them.
func (f *Job) Validate(app *kong.Application) error {
	known := names(app.Node)
	for _, key := range Keys() {
		known[key] = true
	}
	var problems []*FileError
	for _, name := range f.order {
		if len(problems) > maxProblems { // enough to say that there are more
			break
		}
		key := f.entries[name].key
		takes, ok := known[name]
		switch {
		case takes:
		case name == "steps":
			problems = append(problems, f.wrong(key, "steps cannot be run yet, because no run can be made from another's answers yet: a file is one job"))
		case name == "<<":
			problems = append(problems, f.wrong(key, "YAML 1.2 merges no mappings: write the flags themselves"))
		case ok || isByHand(name):
			problems = append(problems, f.wrong(key, "%s is never taken from a file: say --%s on the command line, each time that it is meant", said(key.Value), name))
		default:
			problems = append(problems, f.wrong(key, "no command has a flag --%s%s", said(name), suggest(name, known)))
		}
	}
	return together(problems)
}

// suggest returns "; did you mean …?" for a name that is like a known one, and otherwise nothing.
func suggest(name string, known map[string]bool) string {
	taken := slices.DeleteFunc(sorted(known), func(candidate string) bool { return !known[candidate] })
	if best := text.Nearest(name, taken); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

func sorted(known map[string]bool) (names []string) {
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
