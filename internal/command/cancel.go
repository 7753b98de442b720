package command

import (
	"context"
	"fmt"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/view"
)

// Cancel is the command cancel.
type Cancel struct {
	controlFlags `embed:""`
	Yes          bool `byhand:"run" help:"Do not ask."`
}

// Run asks for confirmation and ends a run; its answers stay.
func (c *Cancel) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	agreed := func(run pipeline.Run) error {
		return confirm(t, c.Yes, run, fmt.Sprintf("This ends run %s with %s for good; its answers stay.", run.Name, view.Plural(run.Items, "row", "rows")))
	}
	return c.do(ctx, t, agreed, func(control *producer.Control, run pipeline.Run) (string, error) {
		report, err := control.Cancel(ctx, run)
		return fmt.Sprintf("is cancelled: %s taken from the queue, %s of %s generations have an answer, which stays and can be exported",
			view.Plural(report.Removed, "batch", "batches"), view.Count(report.Stored), view.Count(report.Generations)), err
	})
}
