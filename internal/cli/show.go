package cli

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"gleaner/internal/pipeline"
	"gleaner/internal/status"
)

// previewBytes is how much of a prompt is shown.
const previewBytes = 2000

// Preview shows what is about to be loaded and its first prompt, before anything is written.
func Preview(t *Terminal, run pipeline.Run, messages []pipeline.Message) {
	fmt.Fprintf(t.Err, "run %s: %s of %s × %s = %s with model %s\n", run.Name, Plural(run.Items, "row", "rows"), run.Spec.Dataset.Name,
		Plural(run.Spec.Samples, "sample", "samples"), Plural(run.Generations, "generation", "generations"), run.Spec.Model)
	for _, m := range messages {
		what := "first prompt"
		if m.Role == pipeline.RoleSystem {
			what = "system prompt"
		}
		fmt.Fprintf(t.Err, "%s (%s bytes):\n%s\n", what, Count(len(m.Content)), Indent(m.Content))
	}
}

// Indent sets off a text that is shown, shortened if it is very long.
func Indent(text string) string {
	if len(text) > previewBytes {
		text = strings.ToValidUTF8(text[:previewBytes], "") + " …"
	}
	return "  │ " + strings.ReplaceAll(strings.TrimRight(Printable(text), "\n"), "\n", "\n  │ ")
}

// Printable returns a text without characters that a terminal takes for commands: it may come
// from a dataset, from a model, or from somebody else's machine.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, text)
}

// Line shows a snapshot in one line: bar, done, rate, time left.
func Line(s status.Snapshot) string {
	ended := s.Stored + s.Failed + s.Dropped
	line := fmt.Sprintf("%s %s  %s of %s", Bar(ended, s.Generations, 24), Percent(ended, s.Generations), Count(s.Stored), Count(s.Generations))
	if s.Failed > 0 {
		line += fmt.Sprintf("  %s failed", Count(s.Failed))
	}
	if s.TokensPerSecond > 0 {
		line += fmt.Sprintf("  %s tok/s", Rate(s.TokensPerSecond))
	}
	if s.ETA > 0 {
		line += "  ETA " + ETA(s)
	}
	return line
}

// GPULines shows what each GPU does, one line for each.
func GPULines(consumers []pipeline.Presence) []string {
	var lines []string
	for _, c := range consumers {
		for _, g := range c.GPUs {
			lines = append(lines, fmt.Sprintf("  %-20s %s %d/%d slots  %s  %s tok/s%s",
				Printable(g.Name), Bar(g.Busy, g.Slots, 8), g.Busy, g.Slots, Plural(g.Generations, "answer", "answers"), Rate(g.TokensPerSecond), Printable(unless(g.Describe(), string(pipeline.GPUServing)))))
		}
	}
	return lines
}

func unless(state, normal string) string {
	if state == normal {
		return ""
	}
	return "  " + state
}

// Table shows a snapshot for people.
func Table(s status.Snapshot) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("run", "%s (%s)", s.Run, s.State)
	row("dataset", "%s, %s", s.Dataset, Plural(s.Items, "row", "rows"))
	row("model", "%s", s.Model)
	row("done", "%s of %s generations, %s", Count(s.Stored), Count(s.Generations), Percent(s.Stored, s.Generations))
	if s.Failed+s.Dropped > 0 {
		row("no answer", "%s failed, %s dropped", Count(s.Failed), Count(s.Dropped))
	}
	row("batches", "%s", batches(s))
	row("tokens", "%s out, %s in", Count(s.OutputTokens), Count(s.PromptTokens))
	row("rate", "%s tok/s, %.1f generations/s", Rate(s.TokensPerSecond), s.PerSecond)
	row("ETA", "%s", ETA(s))
	if s.Stream != nil {
		row("stream", "%s waiting, %s held by workers, %s on the way back", Count(s.Stream.Waiting), Count(s.Stream.Held),
			Plural(s.Stream.Results, "message", "messages"))
	} else {
		row("stream", "not asked: %s", cmp.Or(s.StreamError, "no connection"))
	}
	if len(s.Consumers) == 0 {
		row("consumers", "none present")
	}
	_ = w.Flush() // into a strings.Builder
	return b.String() + consumers(s)
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

// consumers shows who is there.
func consumers(s status.Snapshot) string {
	if len(s.Consumers) == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nCONSUMER\tHOST\tGPU\tSTATE\tSLOTS\tANSWERS\tTOKENS/S\tSEEN\tENDS")
	for _, c := range s.Consumers {
		for _, g := range c.GPUs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s ago\t%s\n", Printable(c.ID), Printable(c.Host), Printable(g.Name), Printable(g.Describe()), g.Busy, g.Slots,
				Count(g.Generations), Rate(g.TokensPerSecond), Duration(max(time.Since(c.Seen), 0)), ends(c.Deadline))
		}
	}
	_ = w.Flush()
	return b.String()
}

// ends shows how far away a consumer's deadline is.
func ends(deadline time.Time) string {
	switch left := time.Until(deadline); {
	case deadline.IsZero():
		return "-"
	case left <= 0:
		return "now"
	default:
		return "in " + Duration(left)
	}
}

// Rate shows tokens per second.
func Rate(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return Count(int(perSecond))
}

// ETA shows the time that is left.
func ETA(s status.Snapshot) string {
	switch {
	case s.Stored+s.Failed+s.Dropped >= s.Generations:
		return "done"
	case s.ETA == 0:
		return "not known yet"
	}
	return Duration(s.ETA)
}

// Plural returns a count with its noun.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}
