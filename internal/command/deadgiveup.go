package command

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// DeadGiveUp is the command dead give-up.
type DeadGiveUp struct {
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	cli.NATSFlags     `embed:""`
	Name              string `name:"run" required:"" placeholder:"NAME" help:"Of this run."`
	Batch             []int  `byhand:"" placeholder:"INDEX" help:"These batches only. Default: all that are queued."`
	Resting           bool   `byhand:"" help:"Only those that were handed back and wait for their next try."`
	Yes               bool   `byhand:"run" help:"Do it: without this flag the batches are only counted."`
	JSON              bool   `name:"json" help:"Print the summary as JSON."`
}

// Help is called by kong.
func (DeadGiveUp) Help() string {
	return "An answer that arrives later is stored all the same. Batches under dead letters are given up with dead drop."
}

// Run gives up batches that are still queued.
func (c *DeadGiveUp) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	both, err := openBoth(ctx, t, c.RunsFlags, c.NATSFlags, zap.NewNop())
	if err != nil {
		return err
	}
	defer both.close()
	run, err := both.store.Run(ctx, c.Name)
	if err == nil {
		err = hasBatches(run, c.Batch)
	}
	if err != nil {
		return err
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	report, err := both.reconciler.GiveUp(ctx, c.Name, reconcile.GiveUpOptions{Batches: c.Batch, Resting: c.Resting, DryRun: !c.Yes, Progress: func(r reconcile.GiveUpReport) {
		if progress.Due() {
			progress.Show(fmt.Sprintf("giving up: %s of %s so far", view.Count(r.GivenUp), view.Plural(r.Chosen, "batch", "batches")))
		}
	}})
	progress.Clear()
	said := fmt.Sprintf("given up: %s with %s, %d skipped (not queued)", view.Plural(report.GivenUp, "batch", "batches"),
		view.Plural(report.Generations, "generation", "generations"), report.Skipped)
	if !c.Yes {
		said = "would be " + said + "; nothing was changed, say --yes to do it"
	}
	return printReport(t, c.JSON, report, said, err)
}
