package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gleaner/internal/failures"
	"gleaner/internal/reconcile"
	"gleaner/internal/text"
)

// Failures shows groups of failures: each with how many there are, the first of them, and what
// helps. The commands stand in lines of their own, which are as long as they have to be; all others
// have at most this many columns; 0: they are whole.
func Failures(groups []failures.Group, columns int) string {
	var b strings.Builder
	say := func(indent, s string) {
		within := 0
		if columns > 0 {
			within = max(columns-len(indent)-2, leastMessage)
		}
		for i, line := range text.Fold(text.OneLine(text.Printable(s)), within) {
			if i > 0 {
				line = "  " + line
			}
			b.WriteString(indent + line + "\n")
		}
	}
	for _, g := range groups {
		brief := g.Class.Rule().Brief // the example says the rest
		if g.Cause == failures.Others {
			brief += ", " + failures.Others
		}
		say("", fmt.Sprintf("%s %s: %s", Count(g.Generations), text.Printable(string(g.Class)), brief))
		example := g.Example.Generation
		if g.Example.Row != "" {
			example += " (" + text.OneLine(g.Example.Row) + ")"
		}
		say("  ", "such as "+example+": "+text.Clip(text.OneLine(g.Example.Message), mostMessage))
		say("  ", "to do: "+g.Cure.Help)
		fmt.Fprintf(&b, "    %s\n", g.Cure.Redrive)
		if g.Cure.Drop != "" {
			fmt.Fprintf(&b, "  or give them up:\n    %s\n", g.Cure.Drop)
		}
	}
	return b.String()
}

// Grouped shows what is in dead letters by what they have in common; without letters nothing.
func Grouped(g reconcile.Grouped, columns int) string {
	if g.Letters == 0 {
		return ""
	}
	said := Plural(g.Letters, "dead letter", "dead letters")
	for _, disposition := range slices.Sorted(maps.Keys(g.Settled)) {
		said += fmt.Sprintf(", %s %s", Count(g.Settled[disposition]), disposition)
	}
	return Failures(g.Groups, columns) + said + "; --each lists them\n"
}

// Reasons says in one line why generations failed.
func Reasons(groups []failures.Group) string {
	var parts []string
	for _, g := range groups {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", Count(g.Generations), g.Class, text.Clip(text.OneLine(g.Example.Message), mostReason)))
	}
	return strings.Join(parts, "; ")
}

const (
	mostReason   = 120 // columns of one reason
	leastMessage = 20  // columns of a message that still says something
)
