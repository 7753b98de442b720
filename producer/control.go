package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// controlled are the flags of the commands that stop and start a run.
type controlled struct {
	cli.StoreFlags `embed:""`
	cli.NATSFlags  `embed:""`
	Name           string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	JSON           bool   `name:"json" help:"Print the summary as JSON."`
}

// do calls the function with the run and the stream, and prints what it says.
func (c controlled) do(ctx context.Context, t *cli.Terminal, act func(*stream.Conn, store.Store) (string, error)) error {
	from, err := openStore(ctx, c.StoreFlags)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.Run(ctx, c.Name); err != nil {
		return err
	}
	conn, err := connect(ctx, c.NATSFlags, 0, zap.NewNop())
	if err != nil {
		return err
	}
	defer conn.Close()
	said, err := act(conn, from)
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
	return c.do(ctx, t, func(conn *stream.Conn, _ store.Store) (string, error) {
		return "is paused: workers finish what they hold and get nothing new", conn.PauseRun(ctx, c.Name)
	})
}

// resumeCmd is the command producer resume.
type resumeCmd struct {
	controlled `embed:""`
}

func (c *resumeCmd) Run(ctx context.Context, t *cli.Terminal) error {
	return c.do(ctx, t, func(conn *stream.Conn, _ store.Store) (string, error) {
		return "goes on", conn.ResumeRun(ctx, c.Name)
	})
}

// cancelCmd is the command producer cancel: the ledger first, so that nobody publishes what is
// removed, and the queue twice, for a publisher or a reconciler that was in the middle of
// something.
type cancelCmd struct {
	controlled `embed:""`
}

// cancelAgain is how long whoever publishes a chunk of batches may take to notice that their run
// is cancelled.
const cancelAgain = 2 * time.Second

func (c *cancelCmd) Run(ctx context.Context, t *cli.Terminal) error {
	return c.do(ctx, t, func(conn *stream.Conn, from store.Store) (string, error) {
		if err := from.Cancel(ctx, c.Name); err != nil {
			return "", err
		}
		removed, err := conn.CancelRun(ctx, c.Name)
		if err != nil {
			return "", err
		}
		select {
		case <-time.After(cancelAgain):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		late, err := conn.CancelRun(ctx, c.Name)
		if err != nil {
			return "", err
		}
		removed += late
		progress, err := from.Progress(ctx, c.Name, time.Now())
		return fmt.Sprintf("is cancelled: %s taken from the queue, %s of %s generations have an answer, which stays and can be exported",
			cli.Plural(removed, "batch", "batches"), cli.Count(progress.Stored), cli.Count(progress.Generations)), err
	})
}
