package command

import (
	"context"
	"fmt"

	"gleaner/internal/cli"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
	"gleaner/internal/view"
)

// Show is the command show: a few answers, to see what one gets.
type Show struct {
	cli.StoreFlags `embed:""`
	Name           string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Limit          int    `byhand:"" default:"5" help:"How many answers."`
	Random         bool   `byhand:"" help:"Random ones instead of the first."`
	JSON           bool   `name:"json" help:"Print JSON Lines, as export writes them."`
}

// Run prints some answers.
func (c *Show) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	if c.Limit < 1 {
		return cli.Usage("limit %d is not positive", c.Limit)
	}
	store, err := openStore(ctx, c.StoreFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := store.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	answers, err := store.SampleAnswers(ctx, run.Name, c.Limit, c.Random)
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
	encoder, err := c.encoder(run, answers, renderer)
	if err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprint(t.Out, view.Answers(run, answers))
	}
	for _, answer := range answers {
		messages, err := renderer.Render(answer.Input)
		if err != nil {
			return fmt.Errorf("item %s: %w", pipeline.ItemID(run.Name, answer.Item), err)
		}
		if c.JSON {
			err = c.line(t, encoder, answer)
		} else {
			_, err = fmt.Fprint(t.Out, view.Answer(run.Name, answer, messages))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// encoder returns what writes these answers as export does.
func (c *Show) encoder(run pipeline.Run, answers []pipeline.Answer, renderer export.MessageRenderer) (*export.Encoder, error) {
	var columns export.Columns
	for _, answer := range answers {
		if err := columns.Observe(answer.Input); err != nil {
			return nil, fmt.Errorf("item %s: %w", pipeline.ItemID(run.Name, answer.Item), err)
		}
	}
	config := export.Config{}.For(run.Spec)
	names, err := export.Settle(config, columns.Names())
	if err != nil {
		return nil, err
	}
	return export.NewEncoder(run, config, names, renderer)
}

// line shows an answer as export writes it.
func (c *Show) line(t *cli.Terminal, encoder *export.Encoder, answer pipeline.Answer) error {
	line, err := encoder.Line(answer)
	if err != nil {
		return err
	}
	return cli.PrintJSONText(t.Out, line)
}
