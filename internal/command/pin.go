package command

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/view"
)

// Pin is the command pin: which digest of its model a run takes answers of.
type Pin struct {
	cli.RunsFlags `embed:""`
	cli.NATSFlags `embed:""`
	Name          string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Digest        string `arg:"" placeholder:"DIGEST|any" help:"Digest of the model, all 64 digits, or any for answers of any digest."`
	JSON          bool   `name:"json" help:"Print the summary as JSON."`
}

// Run changes the pin, and says from what to what and what becomes of the answers that are stored.
func (c *Pin) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	digest, err := pipeline.ParsePin(c.Digest)
	if err != nil {
		return cli.Usage("%v", err)
	}
	store, runs, err := openRuns(ctx, t, c.RunsFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	asking, cancel := context.WithTimeout(ctx, askNATS)
	defer cancel()
	var streams producer.PinStreams
	conn, away := connectTo(asking, store, runs, c.NATSFlags, zap.NewNop())
	switch {
	case errors.Is(away, pipeline.ErrOtherStore):
		return away
	case away == nil:
		defer conn.Close()
		streams = conn
	}
	report, err := producer.PinRun(ctx, store, streams, c.Name, digest)
	if err != nil {
		return err
	}
	if away != nil {
		report.Untold = away.Error()
	}
	if c.JSON {
		return cli.PrintJSON(t.Out, report)
	}
	_, err = fmt.Fprint(t.Out, view.Pinned(report))
	return err
}
