package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// table prints rows of cells that are separated by tabs, under a title and a sentence that says
// what they are.
func table(w io.Writer, title, what, head string, rows []string) {
	fmt.Fprintf(w, "\n%s\n%s\n\n", strings.ToUpper(title), what)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([]string{head}, rows...) {
		fmt.Fprintln(t, row+"\t")
	}
	_ = t.Flush() // a terminal that has gone is noticed when the figures are written
}

// rate returns n per second.
func rate(n int, took time.Duration) float64 { return float64(n) / max(took.Seconds(), 1e-9) }

// atLeast says whether a figure reaches its target.
func atLeast(is, target float64) string { return judged(target, is >= target) }

// atMost says whether a target that is an upper limit is met.
func atMost(is, target float64) string { return judged(target, is <= target) }

func judged(target float64, met bool) string {
	if met {
		return humanize.Commaf(target) + " met"
	}
	return humanize.Commaf(target) + " MISSED"
}

// below says whether this many bytes are fewer than the target.
func below(is, target int) string {
	if is < target {
		return "< " + byteCount(target) + " met"
	}
	return "< " + byteCount(target) + " MISSED"
}

func byteCount(n int) string { return humanize.IBytes(uint64(n)) }
