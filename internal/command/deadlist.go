package command

import (
	"context"

	"gleaner/internal/cli"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// DeadList is the command dead list.
type DeadList struct {
	readFlags `embed:""`
}

// Run prints a table, or JSON Lines.
func (c *DeadList) Run(ctx context.Context, t *cli.Terminal) error {
	table := view.NewLetterTable(t)
	err := c.print(ctx, t, func(letter reconcile.Letter) error {
		table.Add(letter)
		return nil
	})
	if err != nil {
		return err
	}
	return table.Flush()
}
