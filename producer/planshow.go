package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/plan"
)

// planTable shows an estimate for people, in 80 columns.
func planTable(e plan.Estimate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %s, %s\n", e.Run, cli.Plural(e.Generations, "generation", "generations"), cli.Plural(e.Items, "row", "rows"),
		"in "+cli.Plural(e.Batches, "batch", "batches"))
	b.WriteString(wrap(basis(e)))

	b.WriteString("\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME")
	fmt.Fprintf(w, "%s with %s\t%s\n", cli.Plural(e.Fleet.Consumers, "consumer", "consumers"), cli.Plural(e.Fleet.GPUs, "GPU each", "GPUs each"), hours(e.Seconds))
	fmt.Fprintf(w, "GPU time\t%s\n", hours(e.GPUSeconds))
	fmt.Fprintf(w, "output tokens\t%s\n", cli.Count(int(e.OutputTokens)))
	_ = w.Flush() // into a strings.Builder, as below

	fmt.Fprintln(w, "\nTHROUGH NATS\tMESSAGES\tCONTENT\tON THE WIRE")
	for _, part := range append(e.Parts, plan.TrafficPart{What: "total", Traffic: e.Traffic}) {
		row(w, part.What, part.Traffic)
	}
	_ = w.Flush()

	fmt.Fprintln(w, "\nIN MONGODB\tSIZE\tCOMMANDS\tSTATEMENTS")
	operations := func(what string, bytes float64, o pipeline.Operations) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", what, size(bytes), cli.Count(int(o.Commands)), cli.Count(int(o.Statements)))
	}
	operations("load", e.Database.Items+e.Database.Batches, e.Load)
	operations("generate", e.Database.Results, e.Generate)
	operations("export", 0, e.Export)
	operations("total", e.Database.Bytes(), e.Load.Plus(e.Generate).Plus(e.Export))
	_ = w.Flush()

	fmt.Fprintln(w, "\nFREE TIERS\tNEEDED\tFREE\tFITS")
	var advice []string
	for _, c := range e.Checks() {
		verdict := "yes"
		if !c.Fits {
			verdict = "NO"
			advice = append(advice, fmt.Sprintf("%s: %s", c.What, c.Advice))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.What, strings.TrimSuffix(amount(c.Need, c.Unit), " a week"), amount(c.Free, c.Unit), verdict)
	}
	_ = w.Flush()
	if len(advice) > 0 {
		b.WriteString("\nWHAT TO CHANGE\n")
		for _, line := range advice {
			b.WriteString(wrap(line))
		}
	}
	b.WriteString("\n" + wrap(caveats(e)))
	return b.String()
}

func row(w *tabwriter.Writer, what string, t pipeline.Traffic) {
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", what, cli.Count(int(t.Messages+0.5)), size(t.Bytes), size(t.Wire))
}

// basis says what the estimate stands on.
func basis(e plan.Estimate) string {
	s := fmt.Sprintf("Weighed: %s of it as they will travel.", cli.Plural(e.Basis.Batches, "batch", "batches"))
	if e.Basis.Answers > 0 {
		s += fmt.Sprintf(" Answers: as %s, %.0f tokens and %.0f bytes on average.", cli.Plural(e.Basis.Answers, "stored one", "stored ones"), e.Basis.AnswerTokens, e.Basis.AnswerBytes)
	} else {
		s += fmt.Sprintf(" Answers: ASSUMED to have %.0f tokens of 4 bytes each (--answer-tokens, or better --like RUN).", e.Basis.AnswerTokens)
	}
	speed := fmt.Sprintf(" A GPU makes %s tokens a second with %d slots", cli.Rate(e.Fleet.TokensPerSecond), e.Fleet.Slots)
	switch {
	case e.Fleet.Measured:
		return s + speed + ", by those answers' own times."
	case e.Fleet.TokensPerSecond == plan.T4:
		return s + speed + ": an ESTIMATE for a 7B model in four bits on a T4 (--tokens-per-second)."
	}
	return s + speed + ", as you say."
}

// caveats says what the figures are not.
func caveats(e plan.Estimate) string {
	idle := make([]string, len(e.Idle))
	for i, part := range e.Idle {
		idle[i] = fmt.Sprintf("%s %s", part.What, size(part.Wire))
	}
	return fmt.Sprintf("Left running for 30 days with nothing to do: %s on the wire. "+
		"Content is what a NATS server counts; on the wire are subjects and protocol, too, but not TLS. "+
		"Not counted: reading of prompts by the GPUs, batches that are generated twice because a consumer vanished, dead letters, `producer status`. "+
		"If no sink runs to the end, %s of answers wait on the stream. The free tiers are those that their documents named when this program was written.",
		strings.Join(idle, ", "), size(e.ResultBytes))
}

// wrap breaks a text into lines of at most 80 columns.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		if column > 0 && column+1+len(word) > 80 {
			b.WriteString("\n")
			column = 0
		}
		if column > 0 {
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String() + "\n"
}

func amount(v float64, unit string) string {
	switch unit {
	case "bytes":
		return size(v)
	case "per second":
		return fmt.Sprintf("%.3g a second", v)
	case "hours":
		return fmt.Sprintf("%.3g h a week", v)
	}
	return cli.Count(int(v))
}

// size shows bytes.
func size(bytes float64) string {
	for _, unit := range []struct {
		name string
		of   float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes >= unit.of {
			return fmt.Sprintf("%.1f %s", bytes/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%.0f B", bytes)
}

func hours(seconds float64) string {
	if seconds < 3600 {
		return cli.Duration(time.Duration(seconds * float64(time.Second)))
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}
