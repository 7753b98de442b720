package command

import (
	"context"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

// Pause is the command pause.
type Pause struct {
	controlFlags `embed:""`
	Because      string `placeholder:"TEXT" help:"Why, for those who look at the run."`
}

// Run stops handing out the batches of a run.
func (c *Pause) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	return c.do(ctx, t, nil, func(control *producer.Control, run pipeline.Run) (string, error) {
		return "is paused: workers finish what they hold and get nothing new", control.Pause(ctx, run, pipeline.PausedByPerson, c.Because)
	})
}
