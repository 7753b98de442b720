package jobfile

import (
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// TagChoice marks flags of a command of which one is chosen, such as prompt and prompt-file, by a
// word that they share. One that is said on the command line takes the place of those of the file.
const TagChoice = "choice"

// Resolve returns what the file has for a flag, as kong calls it: only if the command line has
// neither the flag nor another of the same choice, and the environment has no variable for it that
// is not empty. A value that the flag does not take is a *FileError.
func (f *Job) Resolve(command *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	e, ok := f.entry(flag)
	if !ok || e.isNull() || !Takes(flag, parent.Flags) || Variable(flag) != "" || Replaced(command, flag) != "" {
		return nil, nil
	}
	value, err := f.value(e, flag)
	if err != nil {
		return nil, err
	}
	return value, nil
}

// entry returns what the file has under a flag's name, or under one of its aliases.
func (f *Job) entry(flag *kong.Flag) (entry, bool) {
	for _, name := range append([]string{flag.Name}, flag.Aliases...) {
		if e, ok := f.entries[name]; ok {
			return e, true
		}
	}
	return entry{}, false
}

// Variable returns the name of the variable that the environment has for a flag, or nothing. An
// empty one does not count.
func Variable(flag *kong.Flag) string {
	for _, name := range flag.Tag.Envs {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// Replaced returns the flag on the command line that takes the place of another of the same choice,
// or nothing.
func Replaced(command *kong.Context, flag *kong.Flag) string {
	choice := flag.Tag.Get(TagChoice)
	i := slices.IndexFunc(command.Path, func(p *kong.Path) bool {
		return choice != "" && p.Flag != nil && !p.Resolved && p.Flag.Name != flag.Name && p.Flag.Tag.Get(TagChoice) == choice
	})
	if i < 0 {
		return ""
	}
	return command.Path[i].Flag.Name
}
