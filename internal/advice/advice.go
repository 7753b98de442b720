// Package advice spells the commands that messages tell people to give, so that they work as
// printed: with the program that these people have in front of them, and with the flags that say
// where the run is. How a process was called is one thing for all of it, like its arguments.
package advice

import (
	"slices"
	"strings"
	"sync/atomic"
)

// A Caller is how a process was called.
type Caller struct {
	Program string   // producer, consumer, sink or gleaner
	Flags   []string // flags that say where the run is, such as --data DIR; none if that needs no saying
	Folder  bool     // the runs are in a folder of gleaner run, which alone works on them
}

var caller atomic.Pointer[Caller]

// Locate says by which flags this process was told where the runs are.
func Locate(flags ...string) {
	c := Caller{Program: "producer"}
	if is := caller.Load(); is != nil {
		c = *is
	}
	c.Flags = flags
	Set(c)
}

// InFolder says that the runs are in a folder of gleaner run.
func InFolder() {
	c := Caller{Program: "gleaner"}
	if is := caller.Load(); is != nil {
		c = *is
	}
	c.Folder = true
	Set(c)
}

// IsFolder reports whether the runs are in a folder of gleaner run. There no other command
// publishes, generates or stores.
func IsFolder() bool {
	c := caller.Load()
	return c != nil && c.Folder
}

// Set says how this process was called. The program does so once it has read its command line.
func Set(c Caller) { caller.Store(&c) }

// Command returns the command line of a verb of gleaner, such as "dead redrive", with these
// arguments, which are quoted where a shell needs it. For a process of one of the three programs it
// is a command of the one that has the verb.
func Command(verb string, args ...string) string {
	return with(verb, true, args)
}

// Anywhere is Command for a verb that works on no run, and so takes no flags that say where it is.
func Anywhere(verb string, args ...string) string {
	return with(verb, false, args)
}

func with(verb string, located bool, args []string) string {
	c := caller.Load()
	if c == nil {
		c = &Caller{Program: "producer"}
	}
	words := strings.Fields(spelled(c.Program, verb))
	if located {
		args = append(slices.Clone(args), c.Flags...)
	}
	for _, arg := range args {
		words = append(words, Quote(arg))
	}
	return strings.Join(words, " ")
}

// spelled returns the words of a verb for those who use this program.
func spelled(program, verb string) string {
	first, _, _ := strings.Cut(verb, " ")
	switch {
	case program == "gleaner":
		return program + " " + verb
	case first == "show" || first == "export":
		return "sink " + verb
	case first == "sink":
		return "sink serve"
	case first == "work":
		return "consumer"
	case isProducers(first):
		return "producer " + verb
	}
	return "gleaner " + verb
}

// isProducers reports whether producer has this verb.
func isProducers(verb string) bool {
	switch verb {
	case "preview", "plan", "load", "publish", "status", "delete", "dead", "audit", "pause", "resume", "pin", "cancel":
		return true
	}
	return false
}

// Quote returns an argument as a shell takes it, unchanged where it needs no quotes.
func Quote(arg string) string {
	if arg != "" && strings.IndexFunc(arg, needsQuotes) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

func needsQuotes(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,+@%", r))
}
