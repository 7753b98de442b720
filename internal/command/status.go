package command

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/folder"
	"gleaner/internal/status"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// Status is the command status: one look at all runs or at one.
type Status struct {
	cli.RunsFlags `embed:""`
	cli.NATSFlags `embed:""`
	Name          string `name:"run" placeholder:"NAME" help:"Name of the run. Without it all runs are listed."`
	JSON          bool   `name:"json" help:"Print JSON."`
}

// askNATS is how long the status waits for NATS, without which it shows less.
const askNATS = 3 * time.Second

// Run prints the state of one run or of all.
func (c *Status) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	store, runs, err := openRuns(ctx, t, c.RunsFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	if c.Name == "" {
		return c.all(ctx, t, store, isIdle(ctx, runs.Data))
	}
	var streams status.Streams
	asking, cancel := context.WithTimeout(ctx, askNATS)
	defer cancel()
	conn, away := connect(asking, runs, c.NATSFlags, zap.NewNop())
	if away == nil {
		defer conn.Close()
		streams = conn
	}
	snapshot, err := status.Take(ctx, store, streams, c.Name, time.Now())
	if err != nil {
		return err
	}
	if away != nil {
		snapshot.StreamError = away.Error()
	}
	if c.JSON {
		return cli.PrintJSON(t.Out, snapshot)
	}
	return view.Print(t.Out, view.Snapshot(snapshot, t.TextColumns()))
}

// isIdle reports whether the runs are in a folder in which no gleaner run works.
func isIdle(ctx context.Context, dir string) bool {
	return dir != "" && folder.WorksIn(ctx, dir).PID == 0
}

// all lists the runs.
func (c *Status) all(ctx context.Context, t *cli.Terminal, store store.Store, idle bool) error {
	snapshots, err := status.All(ctx, store, idle, time.Now())
	if err != nil {
		return err
	}
	if c.JSON {
		return cli.PrintJSON(t.Out, snapshots)
	}
	return view.Print(t.Out, view.Snapshots(snapshots, t.TextColumns()))
}
