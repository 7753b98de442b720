package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/status"
	"gleaner/internal/store"
)

// statusCmd is the command producer status: one look at all runs or at one.
type statusCmd struct {
	cli.StoreFlags `embed:""`
	cli.NATSFlags  `embed:""`
	Name           string `name:"run" placeholder:"NAME" help:"Name of the run. Without it all runs are listed."`
	JSON           bool   `name:"json" help:"Print JSON."`
}

// askNATS is how long the status waits for NATS, without which it shows less.
const askNATS = 3 * time.Second

func (c *statusCmd) Run(ctx context.Context, t *cli.Terminal) error {
	ledger, err := openStore(ctx, c.StoreFlags)
	if err != nil {
		return err
	}
	defer ledger.Close()
	if c.Name == "" {
		return c.all(ctx, t, ledger)
	}
	var from status.Streams
	asking, cancel := context.WithTimeout(ctx, askNATS)
	defer cancel()
	conn, away := connect(asking, c.NATSFlags, 0, zap.NewNop())
	if away == nil {
		defer conn.Close()
		from = conn
	}
	snapshot, err := status.Take(ctx, ledger, from, c.Name, time.Now())
	if err != nil {
		return err
	}
	if away != nil {
		snapshot.StreamError = away.Error()
	}
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(snapshot)
	}
	_, err = fmt.Fprint(t.Out, cli.Table(snapshot))
	return err
}

// all lists the runs.
func (c *statusCmd) all(ctx context.Context, t *cli.Terminal, ledger store.Store) error {
	runs, err := ledger.Runs(ctx)
	if err != nil {
		return err
	}
	snapshots := make([]status.Snapshot, 0, len(runs))
	for _, run := range runs {
		progress, err := ledger.Progress(ctx, run.Name, time.Now().Add(-5*time.Minute))
		if err != nil {
			return err
		}
		snapshots = append(snapshots, status.Of(run, progress, time.Now()))
	}
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(snapshots)
	}
	if len(runs) == 0 {
		_, err := fmt.Fprintln(t.Out, "no runs; load one with producer load")
		return err
	}
	w := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTATE\tMODEL\tDONE\tOF\t\tTOKENS/S\tETA")
	for _, s := range snapshots {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Run, s.State, s.Model, cli.Count(s.Stored), cli.Count(s.Generations),
			cli.Percent(s.Stored, s.Generations), cli.Rate(s.TokensPerSecond), cli.ETA(s))
	}
	return w.Flush()
}
