package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
)

// deadShowCmd is the command producer dead show.
type deadShowCmd struct {
	read `embed:""`
}

func (c *deadShowCmd) Run(ctx context.Context, t *cli.Terminal) error {
	return c.print(ctx, t, func(letter reconcile.Letter) error {
		_, err := fmt.Fprintln(t.Out, shownLetter(letter))
		return err
	})
}

// shownLetter shows all that is in a dead letter, and what can be done about it.
func shownLetter(letter reconcile.Letter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "── %s ── %s, round %d, %s\n", letter.ID(), cli.Printable(string(letter.Class)), letter.Round, letter.Disposition)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, cli.Printable(fmt.Sprintf(format, args...)))
	}
	if letter.Disposition == reconcile.Unreadable {
		row("problem", "%s", letter.Message)
	} else {
		row("failed", "%s ago, at %s, when delivered %s", age(letter), letter.FailedAt.Format(time.RFC3339), times(letter.Deliveries))
		row("consumer", "%s on %s", letter.Consumer, letter.GPU)
		row("model", "%s, %s", letter.Model, options(letter.Options))
	}
	for _, m := range letter.Shared {
		row(string(m.Role), "%q", m.Content)
	}
	row("to do", "%s", letter.Advice())
	_ = w.Flush() // into a strings.Builder
	for _, f := range letter.Failures {
		fmt.Fprintf(&b, "  %s, seed %d: %s after %s\n    %s\n%s\n", pipeline.GenerationID(letter.Run, f.Item, f.Sample), f.Seed, cli.Printable(string(f.Class)),
			cli.Plural(f.Attempts, "try", "tries"), cli.Printable(f.Message), cli.Indent(f.Prompt()))
	}
	return b.String()
}

// options shows the options of a round as the flags that ask for them.
func options(o pipeline.Options) string {
	parts := []string{fmt.Sprintf("num-predict %d", o.NumPredict)}
	if o.Temperature != nil {
		parts = append(parts, fmt.Sprintf("temperature %g", *o.Temperature))
	}
	if o.TopP != nil {
		parts = append(parts, fmt.Sprintf("top-p %g", *o.TopP))
	}
	if o.TopK != nil {
		parts = append(parts, fmt.Sprintf("top-k %d", *o.TopK))
	}
	for _, stop := range o.Stop {
		parts = append(parts, fmt.Sprintf("stop %q", stop))
	}
	return strings.Join(parts, ", ")
}

func times(n int) string { return cli.Plural(n, "time", "times") }

func age(letter reconcile.Letter) string {
	return cli.Duration(max(time.Since(letter.FailedAt), 0))
}

const (
	besideMessage = 47 // columns of a table with letters beside the batch's id and the message
	leastMessage  = 20 // columns of a message that still says something
)

// brief returns the letter's message in one line of at most so many characters, without where it
// happened, which all messages begin with.
func brief(letter reconcile.Letter, width int) string {
	text := letter.Message
	if strings.HasPrefix(text, "generate with model ") {
		if _, rest, ok := strings.Cut(text, ": "); ok {
			text = rest
		}
	}
	runes := []rune(strings.Join(strings.Fields(cli.Printable(text)), " "))
	if width = max(width, leastMessage); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return string(runes)
}
