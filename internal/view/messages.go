package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// shownBytes is how much of a prompt is shown.
const shownBytes = 2000

// Preview shows what is about to be loaded and its first request, before anything is written.
func Preview(t *cli.Terminal, run pipeline.Run, messages []pipeline.Message, tools pipeline.JSON) {
	columns := t.TalkColumns()
	head := fmt.Sprintf("run %s: %s of %s × %s = %s with model %s", run.Name, Plural(run.Items, "row", "rows"), text.OneLine(run.Spec.Dataset.Name),
		Plural(run.Spec.Samples, "sample", "samples"), Plural(run.Generations, "generation", "generations"), text.OneLine(run.Spec.Model))
	fmt.Fprintln(t.Err, strings.Join(text.Fold(head, columns), "\n"))
	for i, m := range messages {
		fmt.Fprintf(t.Err, "%s (%s bytes):\n%s\n", speaker(messages, i), Count(m.Bytes()), indent(said(m), columns))
	}
	if tools != "" {
		fmt.Fprintf(t.Err, "tools (%s bytes):\n%s\n", Count(len(tools)), indent(string(tools), columns))
	}
}

// speaker says what a message of the first request is.
func speaker(messages []pipeline.Message, i int) string {
	asked := messages
	if pipeline.Prefill(messages) != "" {
		asked = messages[:len(messages)-1]
	}
	switch m := messages[i]; {
	case m.Role == pipeline.RoleSystem:
		return "system prompt"
	case i == len(asked):
		return "the answer begins with"
	case m.Role == pipeline.RoleUser && !slices.ContainsFunc(asked, func(m pipeline.Message) bool { return m.Role == pipeline.RoleAssistant }):
		return "first prompt"
	case m.Role == pipeline.RoleTool && m.ToolName != "":
		return "tool " + text.OneLine(m.ToolName)
	default:
		return text.OneLine(string(m.Role))
	}
}

// said returns what a message says: its text, and the tools that it calls.
func said(m pipeline.Message) string {
	if m.ToolCalls == "" {
		return m.Content
	}
	return strings.TrimPrefix(m.Content+"\ncalls "+string(m.ToolCalls), "\n")
}

// Answers says of a run what holds for the answers that are shown: the model, whether they are made
// up, and their digests in full.
func Answers(run pipeline.Run, answers []pipeline.Answer) string {
	head := fmt.Sprintf("run %s: model %s", run.Name, text.OneLine(run.Spec.Model))
	if run.Spec.Simulated {
		head += ", simulated: the answers are made up and mean nothing"
	}
	var seen []string
	for _, a := range answers {
		if d := a.Result.Digest; d != "" && !slices.Contains(seen, d) {
			seen = append(seen, d)
			head += fmt.Sprintf("\ndigest %s on %s", text.OneLine(d), text.OneLine(string(a.Result.Engine)))
		}
	}
	return head + "\n\n"
}

// Answer shows an answer: where it comes from, the end of what was asked, and the text. The row's
// own id may be empty. The lines of what was asked have this many columns, or any with 0.
func Answer(run, rowID string, answer pipeline.Answer, messages []pipeline.Message, columns int) string {
	r := answer.Result
	from := text.OneLine(r.GPU)
	if r.Digest != "" {
		from += ", digest " + text.OneLine(pipeline.ShortDigest(r.Digest))
	}
	if len(messages) > 1 && pipeline.Prefill(messages) != "" { // it is part of the answer
		messages = messages[:len(messages)-1]
	}
	return fmt.Sprintf("── %s ── %s%s in %s on %s\n%s\n%s\n\n", withRowID(pipeline.GenerationID(run, answer.Item, answer.Sample), rowID), Plural(r.OutputTokens, "token", "tokens"), ofThem(r.ThinkingTokens),
		Duration(time.Duration(r.DurationMS)*time.Millisecond), from, indent(said(messages[len(messages)-1]), columns), r.Text)
}

// withRowID returns Gleaner's id of something with the id by which the user knows its row.
func withRowID(id, rowID string) string {
	if rowID == "" {
		return id
	}
	return id + " (" + text.Clip(text.OneLine(rowID), mostRowID) + ")"
}

const mostRowID = 60 // columns of an id that is shown

// indent sets off a text that is shown, shortened if it is very long, in lines of this many
// columns, or of any number with 0.
func indent(s string, columns int) string {
	const bar = "  │ "
	if columns > 0 {
		columns = max(columns-text.Width(bar), leastIndented)
	}
	lines := text.Fold(strings.TrimRight(text.Shorten(s, shownBytes), "\n"), columns)
	return bar + strings.Join(lines, "\n"+bar)
}

const leastIndented = 20 // columns of a text that is set off
