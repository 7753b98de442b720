package view

import (
	"strings"

	"gleaner/internal/pipeline"
)

// Classes shows the classes that a dead letter can have: what each means and what helps. Its lines
// are indented, so that they stay as they are in the help of a command.
func Classes() string {
	var b strings.Builder
	g := newGrid(&b, 76) // the help indents it
	g.Head("  CLASS", "WHAT IT MEANS; WHAT HELPS")
	for _, rule := range pipeline.Classes() {
		if !rule.Outcome {
			continue
		}
		help := rule.Help
		if rule.Hopeless {
			help += ", or give it up"
		}
		g.line("  "+string(rule.Class), rule.Means+"; "+help)
	}
	_ = g.flush() // into a strings.Builder
	return b.String()
}
