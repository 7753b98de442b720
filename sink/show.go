package main

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
	"gleaner/internal/store"
)

// showCmd is the command sink show: a few answers, to see what one gets.
type showCmd struct {
	cli.StoreFlags `embed:""`
	Name           string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Limit          int    `default:"5" help:"How many answers."`
	Random         bool   `help:"Random ones instead of the first."`
	JSON           bool   `name:"json" help:"Print JSON Lines, as export writes them."`
}

func (c *showCmd) Run(ctx context.Context, t *cli.Terminal) error {
	if c.Limit < 1 {
		return cli.Usage("limit %d is not positive", c.Limit)
	}
	ledger, err := store.Open(ctx, c.Store)
	if err != nil {
		return err
	}
	defer ledger.Close()
	run, err := ledger.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	answers, err := ledger.SampleAnswers(ctx, run.Name, c.Limit, c.Random)
	if err != nil {
		return err
	}
	if len(answers) == 0 {
		return fmt.Errorf("run %s has no answers yet", run.Name)
	}
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return err
	}
	encoder, err := dataset.NewLineEncoder(run, dataset.Layout{Name: dataset.LayoutRows, Response: "response"}, renderer)
	if err != nil {
		return err
	}
	for _, answer := range answers {
		messages, err := renderer.Render(answer.Input)
		if err != nil {
			return fmt.Errorf("item %s: %w", pipeline.ItemID(run.Name, answer.Item), err)
		}
		if c.JSON {
			err = c.line(t, encoder, answer)
		} else {
			err = c.print(t, run, answer, messages[len(messages)-1].Content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// line shows an answer as export writes it.
func (c *showCmd) line(t *cli.Terminal, encoder *dataset.LineEncoder, answer pipeline.Answer) error {
	line, err := encoder.Line(answer)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.Out, "%s\n", line)
	return err
}

// print shows an answer for people: where it comes from, the prompt, the text.
func (c *showCmd) print(t *cli.Terminal, run pipeline.Run, answer pipeline.Answer, prompt string) error {
	r := answer.Result
	_, err := fmt.Fprintf(t.Out, "── %s ── %s in %s on %s\n%s\n%s\n\n", pipeline.GenerationID(run.Name, answer.Item, answer.Sample),
		cli.Plural(r.OutputTokens, "token", "tokens"), cli.Duration(time.Duration(r.DurationMS)*time.Millisecond), r.GPU, cli.Indent(prompt), r.Text)
	return err
}
