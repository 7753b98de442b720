package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/failures"
	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/text"
)

// Letter shows all that is in a dead letter, and what can be done about it, in lines of this many
// columns where they can be.
func Letter(letter reconcile.Letter, columns int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "── %s ── %s, round %d, %s\n", letter.ID(), text.OneLine(string(letter.Class)), letter.Round, letter.Disposition)
	g := newGrid(&b, columns)
	row := func(name, format string, args ...any) { g.row("  "+name, format, args...) }
	if letter.Disposition == reconcile.Unreadable {
		row("problem", "%s", letter.Message)
	} else {
		row("failed", "%s ago, at %s, when delivered %s", age(letter), letter.FailedAt.Format(time.RFC3339), times(letter.Deliveries))
		row("consumer", "%s", laneName(letter.Consumer, letter.GPU))
		row("model", "%s, %s", letter.Model, strings.Join(letter.Options.Flags(), ", "))
	}
	for _, m := range letter.Shared {
		row(string(m.Role), "%q", m.Content)
	}
	g.command("  to do", letter.Advice())
	_ = g.flush() // into a strings.Builder
	for _, f := range letter.Failures {
		verdict := judge(f)
		fmt.Fprintf(&b, "  %s, seed %d: %s after %s\n    %s\n%s\n", withRowID(pipeline.GenerationID(letter.Run, f.Item, f.Sample), letter.Rows[f.Item]), f.Seed, text.OneLine(string(f.Class)),
			Plural(f.Attempts, "try", "tries"), text.OneLine(f.Message), verdict+indent(f.Prompt(), columns))
		if f.Text != "" {
			fmt.Fprintf(&b, "    its answer has %s bytes so far, and ends with:\n%s\n", Count(len(f.Text)), indent(lastLines(f.Text), columns))
		}
	}
	return b.String()
}

// judge says whose verdict a failure is, and what it was given on, in a line of its own. Letters of
// earlier versions do not say it.
func judge(f pipeline.GenerationFailure) string {
	if f.Judge == (pipeline.LaneID{}) {
		return ""
	}
	line := "by " + laneName(f.Judge.Consumer, f.Judge.GPU)
	for _, part := range []struct {
		n    int
		what string
	}{{f.Context, "a context of %s"}, {f.PromptTokens, "a prompt of %s"}, {f.Needs, "needs %s or more"}} {
		if part.n > 0 {
			line += ", " + fmt.Sprintf(part.what, Plural(part.n, "token", "tokens"))
		}
	}
	if f.Seconds > 0 {
		line += ", after " + Duration(time.Duration(f.Seconds*float64(time.Second)))
	}
	if f.Digest != "" {
		line += ", model " + pipeline.ShortDigest(f.Digest)
	}
	return "    " + text.OneLine(line) + "\n"
}

// laneName names who gave a verdict. The producer, which has no GPU, gives those on rows that are
// too large to be sent.
func laneName(consumer, gpu string) string {
	if gpu == "" {
		return consumer
	}
	return consumer + " on " + gpu
}

// Of an answer that was cut off, the end is shown: what comes before is as any answer.
const (
	endLines = 6
	endBytes = 800
)

// lastLines returns the last lines of a text.
func lastLines(s string) string {
	s = text.End(strings.TrimSpace(s), endBytes)
	for lines, i := 0, len(s); i > 0; {
		if i = strings.LastIndexByte(s[:i], '\n'); i < 0 {
			break
		}
		if lines++; lines == endLines {
			return s[i+1:]
		}
	}
	return s
}

func times(n int) string { return Plural(n, "time", "times") }

func age(letter reconcile.Letter) string {
	return Duration(max(time.Since(letter.FailedAt), 0))
}

// A LetterTable lists dead letters, one line for each.
type LetterTable struct {
	grid  grid
	lines int
}

// NewLetterTable returns a table that Flush writes to the terminal.
func NewLetterTable(t *cli.Terminal) *LetterTable {
	table := newGrid(t.Out, t.Columns())
	table.Right, table.Clip, table.Below = []int{1, 4, 7}, []int{6}, []int{6, 7, 1, 4, 2}
	return &LetterTable{grid: table}
}

// Add adds a letter.
func (l *LetterTable) Add(letter reconcile.Letter) {
	if l.lines++; l.lines == 1 {
		l.grid.Head("BATCH", "ROUND", "DISPOSITION", "CLASS", "DEAD", "AGE", "GPU", "TRIES", "MESSAGE")
	}
	l.grid.line(letter.ID(), strconv.Itoa(letter.Round), string(letter.Disposition), string(letter.Class), strconv.Itoa(len(letter.Failures)), age(letter),
		text.Clip(judgedOn(letter), mostGPU), tries(letter), brief(letter))
}

// judgedOn names the GPU that judged the letter last, with its context if that is known.
func judgedOn(letter reconcile.Letter) string {
	for _, f := range letter.Failures {
		if f.Judge.GPU == letter.GPU && f.Context > 0 {
			return fmt.Sprintf("%s (%d)", letter.GPU, f.Context)
		}
	}
	return letter.GPU
}

// tries returns how often the generation of a letter that was tried most was tried.
func tries(letter reconcile.Letter) string {
	most := 0
	for _, f := range letter.Failures {
		most = max(most, f.Attempts)
	}
	return strconv.Itoa(most)
}

// Flush writes the table, or nothing if there is no letter in it.
func (l *LetterTable) Flush() error { return l.grid.flush() }

const mostMessage = 160 // columns of a message in the table

// brief returns the letter's message in one line without where it happened, which all messages
// begin with. The user's ids of its rows come first, if there are any.
func brief(letter reconcile.Letter) string {
	return text.Clip(text.OneLine(rows(letter)+failures.What(letter.Message)), mostMessage)
}

// rows names the rows of a letter by the ids by which the user knows them.
func rows(letter reconcile.Letter) string {
	var ids []string
	for _, f := range letter.Failures {
		if id := letter.Rows[f.Item]; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	switch len(ids) {
	case 0:
		return ""
	case 1:
		return ids[0] + ": "
	}
	return fmt.Sprintf("%s and %d more: ", ids[0], len(ids)-1)
}
