package command

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// DeadDrop is the command dead drop.
type DeadDrop struct {
	letterFlags `embed:""`
	DryRun      bool `help:"Only count."`
	Yes         bool `byhand:"run" help:"Do it: without this flag nothing is dropped."`
	JSON        bool `name:"json" help:"Print the summary as JSON."`
}

// Run gives up the batches of the chosen letters.
func (c *DeadDrop) Run(ctx context.Context, t *cli.Terminal) error {
	if c.choosesAll() {
		return cli.Usage("which dead letters? Say --run NAME, or choose them by batch, class, message or age; --orphaned takes those of runs that are not in the store")
	}
	if !c.Yes && !c.DryRun {
		return cli.Usage("dead letters that are dropped are gone, and their generations get no answer: say --yes, or look first with --dry-run")
	}
	ctx = brief(ctx)
	return c.open(ctx, t, zap.NewNop(), func(o opened, filter reconcile.Filter) error {
		progress := view.NewProgress(t, c.ProgressFlags)
		report, err := o.reconciler.Drop(ctx, filter, reconcile.DropOptions{Limit: c.Limit, DryRun: c.DryRun, Progress: func(r reconcile.DropReport) {
			if progress.Due() {
				progress.Show(fmt.Sprintf("dropping: %s of %s so far", view.Plural(r.Dropped, "batch", "batches"), view.Plural(r.Chosen, "dead letter", "dead letters")))
			}
		}})
		progress.Clear()
		verb := "dropped"
		if c.DryRun {
			verb = "would be dropped"
		}
		if err == nil && report.Chosen == 0 {
			err = c.none()
		}
		return printReport(t, c.JSON, report, fmt.Sprintf("%s chosen: %s with %s %s, %d letters without use removed, %d skipped",
			view.Plural(report.Chosen, "dead letter", "dead letters"), view.Plural(report.Dropped, "batch", "batches"),
			view.Plural(report.Generations, "generation", "generations"), verb, report.Removed, report.Skipped), err)
	})
}
