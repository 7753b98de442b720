package view

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"gleaner/internal/reconcile"
	"gleaner/internal/text"
)

// Account shows where the generations of a run are, and which of them are not accounted for.
func Account(a reconcile.Account) string {
	var b strings.Builder
	g := grid{tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)}
	for _, row := range []struct {
		what string
		n    int
	}{
		{"stored", a.Stored}, {"dead", a.Dead}, {"dropped", a.Dropped}, {"cancelled", a.Cancelled},
		{"planned", a.Planned}, {"on the queue", a.Work}, {"results on their way", a.Results}, {"dead letters on their way", a.Unmirrored}, {"moving", a.Moving},
		{"lost", a.Lost}, {"total", a.Total},
	} {
		g.line(row.what, Count(row.n), "")
	}
	_ = g.flush() // into a strings.Builder
	for _, breach := range a.Broken {
		fmt.Fprintf(&b, "%s (%s, round %d): %s\n", breach.Batch, breach.State, breach.Round, text.OneLine(breach.Reason))
	}
	for _, h := range a.Overdue {
		fmt.Fprintln(&b, Overdue(a.Run, h))
	}
	if a.Balanced() {
		fmt.Fprintf(&b, "every generation of run %s is accounted for\n", a.Run)
	}
	return b.String()
}
