package command

import (
	"context"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

// Resume is the command resume.
type Resume struct {
	controlFlags `embed:""`
}

// Run hands the batches of a run out again.
func (c *Resume) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	return c.do(ctx, t, nil, func(control *producer.Control, run pipeline.Run) (string, error) {
		return "goes on", control.Resume(ctx, run)
	})
}
