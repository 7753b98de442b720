package command

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/store"
	"gleaner/internal/stream"
	"gleaner/internal/view"
)

// Cancel is the command cancel: the store first, so that no one publishes what is removed, and the queue twice, for a publisher or a reconciler that was in the middle of
// something.
type Cancel struct {
	controlFlags `embed:""`
}

// cancelAgain is how long a process that publishes a chunk of batches may take to notice that their run
// is cancelled.
const cancelAgain = 2 * time.Second

// Run takes the batches of a run from the queue.
func (c *Cancel) Run(ctx context.Context, t *cli.Terminal) error {
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
			view.Plural(removed, "batch", "batches"), view.Count(progress.Stored), view.Count(progress.Generations)), err
	})
}
