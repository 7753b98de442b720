package command

import (
	"context"
	"fmt"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/reconcile"
	"gleaner/internal/view"
)

// DeadRedrive is the command dead redrive.
type DeadRedrive struct {
	cli.LogFlags     `embed:""`
	letterFlags      `embed:""`
	pipeline.Options `embed:""`
	Rate             float64 `placeholder:"N" help:"Batches a second, at most."`
	DryRun           bool    `help:"Only count."`
	Seed             *int    `placeholder:"N" help:"Seed for the new round. Default: the run's."`
	Yes              bool    `byhand:"" help:"Also what would end alike, because its last round had the same options and seeds."`
	JSON             bool    `name:"json" help:"Print the summary as JSON."`
}

// Run puts the batches of the chosen letters on the queue again.
func (c *DeadRedrive) Run(ctx context.Context, t *cli.Terminal) error {
	progress := view.NewProgress(t, c.ProgressFlags)
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	return c.open(ctx, t, log, func(o opened, filter reconcile.Filter) error {
		report, err := o.reconciler.Redrive(ctx, filter, reconcile.RedriveOptions{
			Limit: c.Limit, Rate: c.Rate, DryRun: c.DryRun, Options: c.Options, Seed: c.Seed, Again: c.Yes,
			Progress: func(r reconcile.RedriveReport) {
				if progress.Due() {
					progress.Show(fmt.Sprintf("redriving: %s of %s so far", view.Plural(r.Redriven, "batch", "batches"), view.Plural(r.Chosen, "dead letter", "dead letters")))
				}
			},
		})
		progress.Clear()
		verb := "redriven"
		if c.DryRun {
			verb = "would be redriven"
		}
		if err == nil && report.Chosen == 0 {
			err = c.none()
		}
		if err == nil && report.Alike > 0 {
			err = alike(t, report)
		}
		if report.Redriven > 0 && !c.DryRun && o.waits(ctx) {
			fmt.Fprintln(t.Err, "no `gleaner run` works in this folder: the next one of the same command generates them")
		}
		return printReport(t, c.JSON, report, fmt.Sprintf("%s chosen: %s with %s %s, %d refused (still on the queue), %d stale, %d skipped",
			view.Plural(report.Chosen, "dead letter", "dead letters"), view.Plural(report.Redriven, "batch", "batches"),
			view.Plural(report.Generations, "generation", "generations"), verb, report.Refused, report.Stale, report.Skipped), err)
	})
}

// alike says what was left because it would end as before. It is an error if that was all.
func alike(t *cli.Terminal, report reconcile.RedriveReport) error {
	said := fmt.Sprintf("%s left: %s; or say --yes", view.Plural(report.Alike, "dead letter is", "dead letters are"), report.WhyAlike)
	if report.Redriven == 0 {
		return cli.Usage("%s", said)
	}
	fmt.Fprintln(t.Err, said)
	return nil
}
