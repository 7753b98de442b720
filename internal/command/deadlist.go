package command

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// DeadList is the command dead list.
type DeadList struct {
	letterFlags `embed:""`
	Each        bool `help:"List every letter, and not only what they have in common."`
	JSON        bool `name:"json" help:"Print the groups as JSON; with --each JSON Lines of all that is in the letters."`
}

// Run prints what failed in groups, or a table of the letters.
func (c *DeadList) Run(ctx context.Context, t *cli.Terminal) error {
	if c.Each || c.Orphaned { // of those no generation waits
		return c.each(ctx, t)
	}
	ctx = brief(ctx)
	return c.open(ctx, t, zap.NewNop(), func(o opened, filter reconcile.Filter) error {
		others := 0
		filter.Others = &others
		grouped, err := o.reconciler.Group(ctx, filter, c.Limit)
		if err == nil {
			err = nameRows(ctx, o, grouped)
		}
		if err != nil {
			return err
		}
		if c.JSON {
			return cli.PrintJSON(t.Out, grouped)
		}
		if grouped.Letters == 0 {
			fmt.Fprintln(t.Err, "no dead letters")
		}
		if err := view.Print(t.Out, view.Grouped(grouped, t.TextColumns())); err != nil {
			return err
		}
		noteOthers(t, others)
		if grouped.Letters == 0 {
			return c.none()
		}
		return nil
	})
}

// nameRows looks up the ids by which the user knows the rows of the examples.
func nameRows(ctx context.Context, o opened, grouped reconcile.Grouped) error {
	for i := range grouped.Groups {
		example := &grouped.Groups[i].Example
		run, err := o.store.Run(ctx, example.Run)
		if err != nil {
			return err
		}
		ids, err := producer.RowIDs(ctx, o.store, run, []pipeline.GenerationFailure{{Generation: pipeline.Generation{Item: example.Item}}})
		if err != nil {
			return err
		}
		example.Row = ids[example.Item]
	}
	return nil
}

// each prints a table of the letters, or JSON Lines.
func (c *DeadList) each(ctx context.Context, t *cli.Terminal) error {
	table := view.NewLetterTable(t)
	err := readFlags{c.letterFlags, c.JSON}.print(ctx, t, func(letter reconcile.Letter) error {
		table.Add(letter)
		return nil
	})
	if err != nil {
		return err
	}
	return table.Flush()
}
