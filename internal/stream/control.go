package stream

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/pipeline"
)

// pausedFor is how long a run stays paused that nobody resumes: the server wants a time.
const pausedFor = 10 * 365 * 24 * time.Hour

// Pause ends the delivery of a run's batches. What workers hold they finish. A run that is not on
// the stream is pipeline.ErrNoRun. It lasts until Resume; when the server loses the run, whoever
// makes it again pauses it again if it has seen that before, as producer publish --follow has.
func (c *Conn) PauseRun(ctx context.Context, run string) error {
	return c.pause(ctx, run, "pause", time.Now().Add(pausedFor))
}

// Resume begins it again. To resume a run that is not paused changes nothing.
func (c *Conn) ResumeRun(ctx context.Context, run string) error {
	return c.pause(ctx, run, "resume", time.Time{})
}

func (c *Conn) pause(ctx context.Context, run, what string, until time.Time) error {
	err := pipeline.ValidateRunName(run)
	if err == nil {
		err = c.api(ctx, func(ctx context.Context) error {
			_, err := c.js.PauseConsumer(ctx, WorkStream, run, until)
			return err
		})
	}
	switch {
	case isAbsent(err):
		return fmt.Errorf("%s run %s: it is not on the stream: %w", what, run, pipeline.ErrNoRun)
	case err != nil:
		return fmt.Errorf("%s run %s: %w", what, run, err)
	}
	return nil
}

// Cancel removes a run from the queue and returns how many batches it removed, those included
// that workers hold: what they still finish is stored, and what they hand back is gone. Answers
// on their way and dead letters stay. It may be repeated; a count that was lost with the
// connection is missing from the sum.
func (c *Conn) CancelRun(ctx context.Context, run string) (removed int, err error) {
	if err := pipeline.ValidateRunName(run); err != nil {
		return 0, err
	}
	// The durable first, so that nothing more is handed out.
	err = c.api(ctx, func(ctx context.Context) error { return c.js.DeleteConsumer(ctx, WorkStream, run) })
	if err != nil && !isAbsent(err) {
		return 0, fmt.Errorf("delete the durable of run %s: %w", run, err)
	}
	return c.purge(ctx, WorkStream, workSubjects(run))
}

// purge removes the messages on these subjects from a stream and returns how many that were. A
// stream that is not there has none.
func (c *Conn) purge(ctx context.Context, stream, subjects string) (removed int, err error) {
	var purged struct {
		Purged int `json:"purged"`
	}
	err = c.request(ctx, "$JS.API.STREAM.PURGE."+stream, map[string]any{"filter": subjects}, &purged)
	if err != nil && !isAbsent(err) {
		return 0, fmt.Errorf("remove %s from stream %s: %w", subjects, stream, err)
	}
	return purged.Purged, nil
}
