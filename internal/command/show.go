package command

import (
	"context"
	"fmt"
	"slices"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// Show is the command show: a few answers, to see what one gets.
type Show struct {
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	Name              string   `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Row               []string `byhand:"" sep:"none" placeholder:"ID" help:"All answers of this row: its own id, if the run was loaded with --id, or Gleaner's, such as NAME/000000012. May be repeated."`
	Limit             int      `byhand:"" default:"5" help:"How many answers."`
	Random            bool     `byhand:"" help:"Random ones instead of the first."`
	JSON              bool     `name:"json" help:"Print JSON Lines, as export writes them."`
}

// Run prints some answers.
func (c *Show) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	if c.Limit < 1 {
		return cli.Usage("--limit %d is not positive", c.Limit)
	}
	store, _, err := openRuns(ctx, t, c.RunsFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := store.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	answers, err := c.answers(ctx, t, store, run)
	if err != nil {
		return err
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
			rowID, _ := renderer.RowID(answer.Input) // a row without one has it nowhere
			_, err = fmt.Fprint(t.Out, view.Answer(run.Name, rowID, answer, messages, t.TextColumns()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answers returns those that are shown.
func (c *Show) answers(ctx context.Context, t *cli.Terminal, store store.Store, run pipeline.Run) (answers []pipeline.Answer, err error) {
	if len(c.Row) == 0 {
		answers, err = store.SampleAnswers(ctx, run.Name, c.Limit, c.Random)
		if err == nil && len(answers) == 0 {
			err = fmt.Errorf("run %s has no answers yet", run.Name)
		}
		return answers, err
	}
	items, err := findItems(ctx, view.NewProgress(t, c.ProgressFlags), store, run, c.Row)
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		all, err := store.ItemAnswers(ctx, run.Name, item)
		if err != nil {
			return nil, err
		}
		stored := slices.DeleteFunc(all, func(a pipeline.Answer) bool { return a.Result == nil })
		if len(stored) == 0 {
			return nil, fmt.Errorf("row %q of run %s has no answer yet; if it failed, `%s` says why",
				c.Row[i], run.Name, advice.Command("dead show", "--run", run.Name, "--row", pipeline.ItemID(run.Name, item)))
		}
		answers = append(answers, stored...)
	}
	return answers, nil
}

// findItems returns the numbers of the items that a user names, and shows how far the search is.
func findItems(ctx context.Context, progress *view.Progress, store producer.ItemReader, run pipeline.Run, names []string) ([]int, error) {
	defer progress.Clear()
	return producer.FindItems(ctx, store, run, names, func(rows int) {
		if progress.Due() {
			progress.Show(view.Steps("looking for the rows", rows, run.Items, "rows"))
		}
	})
}

// encoder returns what writes these answers as export does.
func (c *Show) encoder(run pipeline.Run, answers []pipeline.Answer, renderer export.MessageRenderer) (*export.Encoder, error) {
	config, err := export.Config{}.For(run.Spec)
	if err != nil {
		return nil, err
	}
	names, err := export.SettleRun(config, run, func(first, count int) (items []pipeline.Item, _ error) {
		for _, a := range answers[first:min(len(answers), first+count)] {
			items = append(items, pipeline.Item{Run: run.Name, Seq: a.Item, Input: a.Input})
		}
		return items, nil
	})
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
