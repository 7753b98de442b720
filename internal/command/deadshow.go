package command

import (
	"context"
	"fmt"

	"gleaner/internal/cli"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// DeadShow is the command dead show.
type DeadShow struct {
	readFlags `embed:""`
}

// Run prints all that is in each letter, or JSON Lines.
func (c *DeadShow) Run(ctx context.Context, t *cli.Terminal) error {
	return c.print(ctx, t, func(letter reconcile.Letter) error {
		_, err := fmt.Fprintln(t.Out, view.Letter(letter, t.TextColumns()))
		return err
	})
}
