package main

import (
	"context"
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/reconcile"
)

// deadRedriveCmd is the command producer dead redrive.
type deadRedriveCmd struct {
	cli.StoreFlags `embed:""`
	cli.NATSFlags  `embed:""`
	cli.LogFlags   `embed:""`
	chosen         `embed:""`
	Rate           float64  `placeholder:"N" help:"Batches a second, at most."`
	DryRun         bool     `help:"Only count."`
	NumPredict     int      `placeholder:"N" help:"Tokens of an answer in the new round. Default: the run's."`
	Temperature    *float64 `placeholder:"T" help:"Temperature in the new round. Default: the run's."`
	Seed           *int     `placeholder:"N" help:"Seed for the new round. Default: the run's."`
	JSON           bool     `name:"json" help:"Print the summary as JSON."`
}

func (c *deadRedriveCmd) Run(ctx context.Context, t *cli.Terminal) error {
	progress := cli.NewProgress(t)
	log, err := c.Logger(&cli.Terminal{Err: progress})
	if err != nil {
		return err
	}
	return each(ctx, c.StoreFlags, c.NATSFlags, c.chosen, log, func(engine *reconcile.Engine, filter reconcile.Filter) error {
		report, err := engine.Redrive(ctx, filter, reconcile.RedriveOptions{
			Limit: c.Limit, Rate: c.Rate, DryRun: c.DryRun, NumPredict: c.NumPredict, Temperature: c.Temperature, Seed: c.Seed,
			Progress: func(r reconcile.RedriveReport) {
				if progress.Due() {
					progress.Show(fmt.Sprintf("redriving: %s of %s", cli.Count(r.Redriven), cli.Plural(r.Chosen, "dead letter", "dead letters")))
				}
			},
		})
		progress.Clear()
		if c.JSON {
			if encodeErr := json.NewEncoder(t.Out).Encode(report); err == nil {
				err = encodeErr
			}
			return err
		}
		verb := "redriven"
		if c.DryRun {
			verb = "would be redriven"
		}
		fmt.Fprintf(t.Out, "%s chosen: %s with %s %s, %d refused (still on the queue), %d stale, %d skipped\n", cli.Plural(report.Chosen, "dead letter", "dead letters"),
			cli.Plural(report.Redriven, "batch", "batches"), cli.Plural(report.Generations, "generation", "generations"), verb, report.Refused, report.Stale, report.Skipped)
		return err
	})
}

// deadDropCmd is the command producer dead drop.
type deadDropCmd struct {
	cli.StoreFlags `embed:""`
	cli.NATSFlags  `embed:""`
	chosen         `embed:""`
	DryRun         bool `help:"Only count."`
	Yes            bool `help:"Do it: without this flag nothing is dropped."`
	JSON           bool `name:"json" help:"Print the summary as JSON."`
}

func (c *deadDropCmd) Run(ctx context.Context, t *cli.Terminal) error {
	if !c.Yes && !c.DryRun {
		return cli.Usage("dead letters that are dropped are gone, and their generations get no answer: say --yes, or look first with --dry-run")
	}
	return each(ctx, c.StoreFlags, c.NATSFlags, c.chosen, zap.NewNop(), func(engine *reconcile.Engine, filter reconcile.Filter) error {
		report, err := engine.Drop(ctx, filter, reconcile.DropOptions{Limit: c.Limit, DryRun: c.DryRun})
		if c.JSON {
			if encodeErr := json.NewEncoder(t.Out).Encode(report); err == nil {
				err = encodeErr
			}
			return err
		}
		verb := "dropped"
		if c.DryRun {
			verb = "would be dropped"
		}
		fmt.Fprintf(t.Out, "%s chosen: %s with %s %s, %d letters without use removed, %d skipped\n", cli.Plural(report.Chosen, "dead letter", "dead letters"),
			cli.Plural(report.Dropped, "batch", "batches"), cli.Plural(report.Generations, "generation", "generations"), verb, report.Removed, report.Skipped)
		return err
	})
}
