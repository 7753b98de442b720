package main

import (
	"context"
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/producer"
)

// controlled are the flags of the commands that stop and start a run.
type controlled struct {
	cli.Store `embed:""`
	cli.NATS  `embed:""`
	Name      string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	JSON      bool   `name:"json" help:"Print the summary as JSON."`
}

// do calls act with a control over the run, and prints what it says.
func (c controlled) do(ctx context.Context, t *cli.Terminal, act func(*producer.Control) (string, error)) error {
	from, err := openStore(ctx, c.Store)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.Run(ctx, c.Name); err != nil {
		return err
	}
	conn, err := connect(ctx, c.NATS, 0, zap.NewNop())
	if err != nil {
		return err
	}
	defer conn.Close()
	said, err := act(producer.NewControl(from, conn))
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(map[string]string{"run": c.Name, "did": said})
	}
	_, err = fmt.Fprintf(t.Out, "run %s %s\n", c.Name, said)
	return err
}

// pauseCmd is the command producer pause.
type pauseCmd struct {
	controlled `embed:""`
}

func (c *pauseCmd) Run(ctx context.Context, t *cli.Terminal) error {
	return c.do(ctx, t, func(control *producer.Control) (string, error) {
		return "is paused: workers finish what they hold and get nothing new", control.Pause(ctx, c.Name)
	})
}

// resumeCmd is the command producer resume.
type resumeCmd struct {
	controlled `embed:""`
}

func (c *resumeCmd) Run(ctx context.Context, t *cli.Terminal) error {
	return c.do(ctx, t, func(control *producer.Control) (string, error) {
		return "goes on", control.Resume(ctx, c.Name)
	})
}

// cancelCmd is the command producer cancel.
type cancelCmd struct {
	controlled `embed:""`
}

func (c *cancelCmd) Run(ctx context.Context, t *cli.Terminal) error {
	return c.do(ctx, t, func(control *producer.Control) (string, error) {
		report, err := control.Cancel(ctx, c.Name)
		return fmt.Sprintf("is cancelled: %s taken from the queue, %s of %s generations have an answer, which stays and can be exported",
			cli.Plural(report.Removed, "batch", "batches"), cli.Count(report.Stored), cli.Count(report.Generations)), err
	})
}
