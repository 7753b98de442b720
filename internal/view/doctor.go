package view

import (
	"strings"

	"gleaner/internal/doctor"
	"gleaner/internal/text"
)

// Doctor returns what was found, a line each, with what to do below it, in lines of at most this
// many columns.
func Doctor(findings []doctor.Finding, columns int) string {
	widest := 0
	for _, f := range findings {
		widest = max(widest, len(f.Check))
	}
	var b strings.Builder
	indent := strings.Repeat(" ", widest+2+len(doctor.Warning)+2)
	write := func(head, words string) {
		for i, line := range text.Fold(text.OneLine(words), max(columns-len(indent), 20)) {
			if i > 0 {
				head = indent
			}
			b.WriteString(strings.TrimRight(head+line, " ") + "\n")
		}
	}
	for _, f := range findings {
		state := string(f.State)
		write(f.Check+strings.Repeat(" ", widest-len(f.Check)+2)+state+strings.Repeat(" ", len(doctor.Warning)-len(state)+2), f.Says)
		if f.Advice != "" {
			write(indent, "→ "+f.Advice)
		}
	}
	return b.String()
}
