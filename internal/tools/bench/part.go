package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"gleaner/internal/cli"
)

// A PartRate is what one part can do alone.
type PartRate struct {
	What      string  `json:"what"`
	Unit      string  `json:"unit"`
	PerSecond float64 `json:"per_second"`
	Note      string  `json:"note,omitempty"` // why nothing was measured
}

// repeat calls f, which returns how much it did, until the time is over, and returns how much it
// did a second.
func repeat(ctx context.Context, long time.Duration, f func() (int, error)) (float64, error) {
	started, sum := time.Now(), 0
	for time.Since(started) < long {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := f()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return rate(sum, time.Since(started)), nil
}

func printParts(w io.Writer, parts []PartRate) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nONE PART ALONE\tPER SECOND\t")
	for _, p := range parts {
		figure := cli.Count(int(p.PerSecond)) + " " + p.Unit
		if p.Note != "" {
			figure = p.Note
		}
		fmt.Fprintf(t, "%s\t%s\t\n", p.What, figure)
	}
	_ = t.Flush() // as in table
}
