package view

import (
	"fmt"
	"strings"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
	"gleaner/internal/plan"
)

// Plan shows an estimate for people, in 80 columns.
func Plan(e plan.Estimate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %s, %s%s\n", e.Run, Plural(e.Generations, "generation", "generations"), Plural(e.Items, "row", "rows"),
		"in "+Plural(e.Batches, "batch", "batches"), LeftOut(e.Skipped))
	b.WriteString(wrap(basis(e)))

	b.WriteString("\n")
	g := newGrid(&b, 80)
	g.Right = []int{1, 2, 3}
	g.line("TIME")
	g.line(Plural(e.Fleet.Consumers, "consumer", "consumers")+" with "+Plural(e.Fleet.GPUs, "GPU each", "GPUs each"), hours(e.Seconds))
	g.line("GPU time", hours(e.GPUSeconds))
	g.line("output tokens", Count(int(e.OutputTokens)))
	_ = g.flush() // into a strings.Builder, as below

	b.WriteString("\n")
	g.line("THROUGH NATS", "MESSAGES", "CONTENT", "ON THE WIRE")
	for _, part := range append(e.Parts, plan.TrafficPart{What: "total", Traffic: e.Traffic}) {
		g.line(part.What, Count(int(part.Traffic.Messages+0.5)), Bytes(part.Traffic.Bytes), Bytes(part.Traffic.Wire))
	}
	_ = g.flush()

	b.WriteString("\n")
	g.line("IN MONGODB", "SIZE", "COMMANDS", "STATEMENTS")
	operations := func(what string, bytes float64, o pipeline.Operations) {
		g.line(what, Bytes(bytes), Count(int(o.Commands)), Count(int(o.Statements)))
	}
	operations("load", e.Database.Items+e.Database.Batches, e.Load)
	operations("generate", e.Database.Results, e.Generate)
	operations("export", 0, e.Export)
	operations("total", e.Database.Bytes(), e.Load.Plus(e.Generate).Plus(e.Export))
	_ = g.flush()

	b.WriteString("\n")
	g.Right = []int{1, 2}
	g.line("FREE TIERS", "NEEDED", "FREE", "FITS")
	var advice []string
	for _, c := range e.Checks() {
		verdict := "yes"
		if !c.Fits {
			verdict = "NO"
			advice = append(advice, fmt.Sprintf("%s: %s", c.What, c.Advice))
		}
		g.line(c.What, strings.TrimSuffix(amount(c.Need, c.Unit), " a week"), amount(c.Free, c.Unit), verdict)
	}
	_ = g.flush()
	if len(advice) > 0 {
		b.WriteString("\nWHAT TO CHANGE\n")
		for _, line := range advice {
			b.WriteString(wrap(line))
		}
	}
	b.WriteString("\nMORE GPUS\n")
	for _, bound := range e.Bounds {
		b.WriteString(wrap(firstBound(bound)))
	}
	b.WriteString("\n" + wrap(caveats(e)))
	return b.String()
}

// firstBound says what is in the way of more GPUs.
func firstBound(bound plan.FirstBound) string {
	where, met := "a NATS server of your own", ""
	if bound.Hosted {
		where = "a free NATS account"
	}
	if bound.Met {
		met = ", which these are beyond"
	}
	return fmt.Sprintf("On %s the first bound is %s, at %s%s: %s. It is set by %s.", where, bound.Name, Plural(bound.GPUs, "GPU", "GPUs"), met, bound.AtIt, bound.SetIn)
}

// basis says what the estimate stands on.
func basis(e plan.Estimate) string {
	s := fmt.Sprintf("Weighed: %s of it as they will travel.", Plural(e.Basis.Batches, "batch", "batches"))
	if e.Basis.Answers > 0 {
		s += fmt.Sprintf(" Answers: as %s, %.0f tokens and %.0f bytes on average.", Plural(e.Basis.Answers, "stored one", "stored ones"), e.Basis.AnswerTokens, e.Basis.AnswerBytes)
	} else {
		s += fmt.Sprintf(" Answers: ASSUMED to have %.0f tokens of 4 bytes each (--answer-tokens, or better --like RUN).", e.Basis.AnswerTokens)
	}
	speed := fmt.Sprintf(" A GPU makes %s tokens a second with %d slots", Rate(e.Fleet.TokensPerSecond), e.Fleet.Slots)
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
		idle[i] = fmt.Sprintf("%s %s", part.What, Bytes(part.Wire))
	}
	return fmt.Sprintf("Left running for 30 days with nothing to do: %s on the wire. "+
		"Content is what a NATS server counts; on the wire are subjects and protocol, too, but not TLS. "+
		"Not counted: reading of prompts by the GPUs, batches that are generated twice because a consumer vanished, dead letters, `%s`. "+
		"If no sink runs to the end, %s of answers wait on the stream. The free tiers are those that their documents named when this program was written.",
		strings.Join(idle, ", "), advice.Command("status"), Bytes(e.ResultBytes))
}

func amount(v float64, unit string) string {
	switch unit {
	case "bytes":
		return Bytes(v)
	case "per second":
		return fmt.Sprintf("%.3g a second", v)
	case "hours":
		return fmt.Sprintf("%.3g h a week", v)
	}
	return Count(int(v))
}

func hours(seconds float64) string {
	if seconds < 3600 {
		return Duration(time.Duration(seconds * float64(time.Second)))
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}
