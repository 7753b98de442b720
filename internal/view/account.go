package view

import (
	"fmt"
	"strings"

	"gleaner/internal/advice"
	"gleaner/internal/reconcile"
	"gleaner/internal/text"
)

// Account shows where the generations of a run are, and which of them are not accounted for.
func Account(a reconcile.Account) string {
	var b strings.Builder
	g := newGrid(&b, 0)
	g.Right = []int{0, 1}
	for _, row := range []struct {
		what string
		n    int
	}{
		{"stored", a.Stored}, {"dead", a.Dead}, {"dropped", a.Dropped}, {"cancelled", a.Cancelled},
		{"planned", a.Planned}, {"on the queue", a.Work}, {"results on their way", a.Results}, {"dead letters on their way", a.Unmirrored}, {"moving", a.Moving},
		{"lost", a.Lost}, {"total", a.Total},
	} {
		g.line("  "+row.what, Count(row.n))
	}
	_ = g.flush() // into a strings.Builder
	for _, breach := range a.Broken {
		fmt.Fprintf(&b, "%s (%s, round %d): %s\n", breach.Batch, breach.State, breach.Round, text.OneLine(breach.Reason))
	}
	for _, h := range a.Overdue {
		fmt.Fprintln(&b, Overdue(a.Run, h))
	}
	for _, left := range []struct {
		where  string
		copies reconcile.Copies
	}{{"answers on the stream of results, which the sink removes", a.OnResults}, {"dead letters, which `" + advice.Command("publish", "--run", a.Run, "--follow") + "` removes", a.OnDead}} {
		if n := left.copies.Count; n > 0 {
			fmt.Fprintf(&b, "%s that %s done still %s %s: %s\n", Plural(n, "batch", "batches"), isAre(n), hasHave(n), left.where, firstOf(left.copies.Batches, n))
		}
	}
	if a.Balanced() {
		fmt.Fprintf(&b, "every generation of run %s is accounted for\n", a.Run)
	}
	return b.String()
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func hasHave(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// mostNames is how many batches a line names.
const mostNames = 10

// firstOf names the first ones of n.
func firstOf(names []string, n int) string {
	shown := strings.Join(names[:min(len(names), mostNames)], ", ")
	if n > mostNames {
		shown += ", …"
	}
	return shown
}
