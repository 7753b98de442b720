package view

import (
	"fmt"
	"strings"

	"gleaner/internal/ownership"
	"gleaner/internal/text"
)

// TakeOver says which runs are on streams that belong to another store, and what becomes of them.
func TakeOver(report ownership.TakeOver) string {
	var b strings.Builder
	fmt.Fprintf(&b, "the streams belong to %s\n", report.From)
	for _, run := range report.Runs {
		fate := "is removed from the streams"
		if run.Mine {
			fate = "is a run of this store and stays"
		}
		fmt.Fprintf(&b, "  run %s %s: %s waiting, %d held, %s\n", text.Printable(text.Shorten(run.Run, 64)), fate,
			Plural(run.Waiting, "batch", "batches"), run.Held, Plural(run.Consumers, "consumer", "consumers"))
	}
	if report.Done {
		return b.String() + "they are this store's now\n"
	}
	return b.String() + "nothing was changed\n"
}
