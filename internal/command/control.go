package command

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

// controlFlags are the flags of the commands that stop and start a run.
type controlFlags struct {
	cli.RunsFlags `embed:""`
	cli.NATSFlags `embed:""`
	Name          string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	JSON          bool   `name:"json" help:"Print the summary as JSON."`
}

// A controlled run is one that was paused, resumed or cancelled.
type controlled struct {
	Run string `json:"run"`
	Did string `json:"did"` // in words
}

// do calls act with a control over the run, and prints what it says. Before that it calls agreed
// with the run, if it is not nil.
func (c controlFlags) do(ctx context.Context, t *cli.Terminal, agreed func(pipeline.Run) error, act func(*producer.Control, pipeline.Run) (string, error)) error {
	store, runs, err := openRuns(ctx, t, c.RunsFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := store.Run(ctx, c.Name)
	if err == nil && agreed != nil {
		err = agreed(run)
	}
	if err != nil {
		return err
	}
	conn, err := connectTo(ctx, store, runs, c.NATSFlags, zap.NewNop())
	if err != nil {
		return err
	}
	defer conn.Close()
	said, err := act(producer.NewControl(store, conn), run)
	if err != nil {
		return err
	}
	if c.JSON {
		return cli.PrintJSON(t.Out, controlled{c.Name, said})
	}
	_, err = fmt.Fprintf(t.Out, "run %s %s\n", c.Name, said)
	return err
}
