package command

import (
	"context"

	"gleaner/internal/cli"
	"gleaner/internal/store"
	"gleaner/internal/stream"
)

// Resume is the command resume.
type Resume struct {
	controlFlags `embed:""`
}

// Run hands the batches of a run out again.
func (c *Resume) Run(ctx context.Context, t *cli.Terminal) error {
	return c.do(ctx, t, func(conn *stream.Conn, _ store.Store) (string, error) {
		return "goes on", conn.ResumeRun(ctx, c.Name)
	})
}
