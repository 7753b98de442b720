package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
	"gleaner/internal/text"
)

// Line shows a snapshot in one line: bar, done, rate, time left.
func Line(s status.Snapshot) string { return lineWith(s, barCells) }

// lineOf does that in this many columns, with a shorter bar where that is needed.
func lineOf(s status.Snapshot, columns int) (line string) {
	for cells := barCells; cells >= barCells/4; cells /= 2 {
		if line = lineWith(s, cells); text.Width(line) <= columns {
			return line
		}
	}
	return strings.TrimSpace(lineWith(s, 0))
}

func lineWith(s status.Snapshot, cells int) string {
	ended := s.Stored + s.Failed + s.Dropped
	line := fmt.Sprintf("%s %s  %s of %s", Bar(ended, s.Generations, cells), Percent(ended, s.Generations), Count(s.Stored), Count(s.Generations))
	if s.Failed > 0 {
		line += fmt.Sprintf("  %s failed", Count(s.Failed))
	}
	if s.Unstored > 0 {
		line += fmt.Sprintf("  %s not stored yet", Count(s.Unstored))
	}
	if s.TokensPerSecond > 0 {
		line += fmt.Sprintf("  %s tok/s", Rate(s.TokensPerSecond))
	}
	if s.ETA > 0 {
		line += "  ETA " + ETA(s)
	}
	if waits(s) {
		line += "  " + State(s)
	}
	return line
}

// Snapshot shows one run for people, in lines of this many columns.
func Snapshot(s status.Snapshot, columns int) string {
	var b strings.Builder
	g := newGrid(&b, columns)
	g.row("run", "%s (%s)", s.Run, runState(s))
	if said := stateSince(s); said != "" {
		g.row("state", "%s", said)
	}
	g.row("dataset", "%s, %s%s", s.Dataset, Plural(s.Items, "row", "rows"), LeftOut(s.Skipped))
	g.row("model", "%s", s.Model)
	for _, engine := range slices.Sorted(maps.Keys(s.Pins)) {
		if engine != pipeline.EngineUnsaid {
			g.row("pinned to", "%s on %s", pinned(s.Pins[engine]), text.OneLine(string(engine)))
		}
	}
	g.row("done", "%s of %s generations, %s", Count(s.Stored), Count(s.Generations), Percent(s.Stored, s.Generations))
	if s.Failed+s.Dropped > 0 {
		g.row("no answer", "%s failed, %s dropped", Count(s.Failed), Count(s.Dropped))
	}
	if s.AwaitOpinion > 0 {
		g.row("second opinion", "%s another GPU", Plural(s.AwaitOpinion, "failed one waits for", "failed ones wait for"))
	}
	if s.Refused > 0 {
		g.row("refused", "answers of %s, because they were of another digest or came without their token; each gets another round if it needs one", Plural(s.Refused, "batch", "batches"))
	}
	if len(s.TooOld) > 0 {
		g.row("too old", "%s; what they send is refused, and batches that were refused before wait until they are gone: update them", tooOld(s.TooOld))
	}
	g.row("batches", "%s", batches(s))
	if s.Resting != nil {
		g.row("resting", "%s", resting(*s.Resting))
	}
	for _, h := range s.Overdue {
		g.command("overdue", Overdue(s.Run, h))
	}
	g.row("tokens", "%s out%s, %s in", Count(s.OutputTokens), ofThem(s.ThinkingTokens), Count(s.PromptTokens))
	if said := Worked(s); said != "" {
		g.row("so far", "%s", said)
	}
	g.row("rate", "%s tok/s, %.1f generations/s", Rate(s.TokensPerSecond), s.PerSecond)
	g.row("ETA", "%s", ETA(s))
	if s.Stream != nil {
		g.row("stream", "%s waiting, %s held by workers, %s on the way back", Count(s.Stream.Waiting), Count(s.Stream.Held),
			Plural(s.Stream.Results, "message", "messages"))
	} else {
		g.row("stream", "not asked: %s", cmp.Or(s.StreamError, "no connection"))
	}
	if len(s.Consumers) == 0 {
		g.row("consumers", "none present")
	}
	_ = g.flush() // into a strings.Builder, as below
	return b.String() + consumers(s, columns) + why(s.Failures, columns)
}

// why says why generations failed, below everything else.
func why(groups []failures.Group, columns int) string {
	if len(groups) == 0 {
		return ""
	}
	return "\nwhat failed, and what helps\n\n" + Failures(groups, columns)
}

// Overdue says which batch is in progress for too long, who has it, and what to do.
func Overdue(run string, h pipeline.HeldBatch) string {
	return fmt.Sprintf("batch %d is in progress for %s, longer than its answers may take, with %s on %s (consumer %s): end that consumer, or give the batch up (%s)",
		h.Batch, Duration(time.Duration(h.Seconds)*time.Second), text.OneLine(h.GPU), text.OneLine(h.Host), h.Consumer,
		advice.Command("dead give-up", "--run", run, "--batch", strconv.Itoa(h.Batch), "--yes"))
}

const mostTooOld = 5 // consumers that are named

// tooOld names consumers.
func tooOld(consumers []string) string {
	named := text.OneLine(strings.Join(consumers[:min(len(consumers), mostTooOld)], ", "))
	if more := len(consumers) - mostTooOld; more > 0 {
		named += fmt.Sprintf(" and %s more", Count(more))
	}
	return "consumers " + named
}

// resting says how many batches rest, how long and why.
func resting(r status.Resting) string {
	line := fmt.Sprintf("%s, next try in %s", Plural(r.Batches, "rests", "rest"), Duration(time.Duration(r.Seconds*float64(time.Second))))
	if r.Because != "" {
		line += " (" + r.Because + ")"
	}
	return line
}

// runState shows the state of a run, and whether its answers are made up.
func runState(s status.Snapshot) string {
	if s.Simulated {
		return s.State.String() + ", simulated"
	}
	return s.State.String()
}

func batches(s status.Snapshot) string {
	var parts []string
	for _, state := range pipeline.BatchStates {
		if n := s.Batches[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", Count(n), state))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// ETA shows the time that is left.
func ETA(s status.Snapshot) string {
	switch {
	case s.Stored+s.Failed+s.Dropped >= s.Generations:
		return "done"
	case waits(s):
		return "-"
	case s.ETA == 0:
		return "not known yet"
	}
	return Duration(max(s.ETA, time.Second))
}

// Snapshots lists runs for people, in lines of this many columns.
func Snapshots(all []status.Snapshot, columns int) string {
	if len(all) == 0 {
		return "no runs; load one with `" + advice.Command("load") + "`\n"
	}
	var b strings.Builder
	g := newGrid(&b, columns)
	g.Right, g.Below = []int{3, 4, 5, 6}, []int{2, 6, 1}
	g.Head("RUN", "STATE", "MODEL", "DONE", "OF", "", "TOKENS/S", "ETA")
	for _, s := range all {
		g.line(s.Run, runState(s), s.Model, Count(s.Stored), Count(s.Generations), Percent(s.Stored, s.Generations), Rate(s.TokensPerSecond), ETA(s))
	}
	_ = g.flush()
	return b.String()
}
