package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/status"
	"gleaner/internal/text"
)

// consumers shows who is there: a line for each consumer, and below it one for each of its GPUs.
func consumers(s status.Snapshot, columns int) string {
	if len(s.Consumers) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	table := newGrid(&b, columns)
	table.Right = []int{1, 2, 3, 4}
	table.Clip = []int{0}
	table.Head("  GPU", "SLOTS", "ANSWERS", "TOKENS/S", "CONTEXT", "STATE")
	for _, c := range s.Consumers {
		table.Across(aboutConsumer(c))
		for _, g := range c.GPUs {
			table.line("  "+g.Name, fmt.Sprintf("%d/%d", g.Busy, g.Slots), Count(g.Generations), Rate(g.TokensPerSecond), known(g.Context), g.Describe())
		}
	}
	_ = table.flush()
	if s.MoreConsumers > 0 {
		fmt.Fprintf(&b, "and %s more\n", Plural(s.MoreConsumers, "consumer", "consumers"))
	}
	return b.String()
}

// aboutConsumer says in a line who a consumer is.
func aboutConsumer(c pipeline.Presence) string {
	words := []string{"consumer " + c.ID + " on " + c.Host, "seen " + Duration(max(time.Since(c.Seen), 0)) + " ago"}
	if !c.Deadline.IsZero() {
		words = append(words, "ends "+ends(c.Deadline))
	}
	digests := []string{c.Digest}
	for _, g := range c.GPUs {
		digests = append(digests, g.Digest)
	}
	slices.Sort(digests)
	for _, digest := range slices.Compact(digests) {
		if digest != "" {
			words = append(words, "digest "+pipeline.ShortDigest(digest))
		}
	}
	if c.ServerVersion != "" {
		words = append(words, "server "+c.ServerVersion)
	}
	return text.OneLine(strings.Join(words, ", "))
}

// known shows a number, unless it is not known.
func known(n int) string {
	if n == 0 {
		return "-"
	}
	return Count(n)
}

// ends shows how far away a consumer's deadline is.
func ends(deadline time.Time) string {
	left := time.Until(deadline)
	if left <= 0 {
		return "now"
	}
	return "in " + Duration(left)
}

const (
	gpuCells  = 8  // of the bar of a GPU
	mostGPU   = 20 // columns of a GPU's name
	mostState = 60 // columns of its state, in a line that is redrawn
)

// GPULines shows what each GPU does, one line for each. Its numbers begin with its first answer.
func GPULines(consumers []pipeline.Presence) []string {
	if len(consumers) == 0 {
		return nil
	}
	table := cli.Grid{Right: []int{2, 3, 4}}
	for _, c := range consumers {
		for _, g := range c.GPUs {
			answers, rate := "no answer yet", ""
			if g.Generations > 0 {
				answers, rate = Plural(g.Generations, "answer", "answers"), Rate(g.TokensPerSecond)+" tok/s"
			}
			state := text.Clip(text.OneLine(g.Describe()), mostState)
			if state == string(pipeline.GPUServing) {
				state = ""
			}
			name := "  " + text.Clip(text.OneLine(g.Name), mostGPU)
			table.Line(name, Bar(g.Busy, g.Slots, gpuCells), fmt.Sprintf("%d/%d slots", g.Busy, g.Slots), answers, rate, state)
		}
	}
	return strings.Split(strings.TrimSuffix(table.Take(), "\n"), "\n")
}
