package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gleaner/internal/text"
)

// Count returns a number with thousands separated.
func Count(n int) string { return humanize.Comma(int64(n)) }

// Plural returns a count with its noun.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Percent returns done as a part of total.
func Percent(done, total int) string {
	if total == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%d %%", done*100/total)
}

// Bytes returns a size in the units B, KiB, MiB and so on.
func Bytes(n float64) string { return humanize.IBytes(uint64(max(n, 0) + 0.5)) }

// Rate returns tokens per second.
func Rate(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return Count(int(perSecond))
}

// Duration returns d as people say it, with two or three digits of it.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Bar returns a bar of this many cells.
func Bar(done, total, cells int) string {
	full := 0
	if total > 0 {
		full = min(done*cells/total, cells)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}

// barCells is the length of the bar of a whole run.
const barCells = 24

// Steps shows in one line how many of the steps of a task are done, as in
// Steps("loading a.jsonl", 3, 4, "rows").
func Steps(what string, done, total int, unit string) string {
	return fmt.Sprintf("%s %s %s  %s of %s %s", what, Bar(done, total, barCells), Percent(done, total), Count(done), Count(total), unit)
}

// Reading shows in one line how far a dataset is read: how many rows, how fast, and how many bytes
// of its total, which is 0 if that is not known. What a narrow terminal cuts off is said last.
func Reading(what string, rows int, done, total int64, took time.Duration) string {
	line := fmt.Sprintf("%s, %s rows/s, %s", Plural(rows, "row", "rows"), Rate(float64(rows)/max(took.Seconds(), 0.001)), Bytes(float64(done)))
	if total > 0 {
		line = Bar(int(done), int(total), readingCells) + " " + line + " of " + Bytes(float64(total))
	}
	return what + " " + line
}

const readingCells = 8

// LeftOut says how many rows of a dataset were left out because they could not be used; nothing if
// there are none.
func LeftOut(rows int) string {
	if rows == 0 {
		return ""
	}
	return ", " + Plural(rows, "bad row", "bad rows") + " left out"
}

// wrap breaks a text into lines of at most 80 columns.
func wrap(s string) string { return strings.Join(text.Fold(text.OneLine(s), 80), "\n") + "\n" }
