package stream

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// PauseRun stops the delivery of a run's batches for the pause that the run has. Workers finish
// what they hold. A run that is not on the stream is pipeline.ErrNoRun. The pause lasts until
// ResumeRun, or until EnsureRun sees that the store has ended it. The mark comes first: a pause
// without one is that of an earlier version.
func (c *Conn) PauseRun(ctx context.Context, run pipeline.Run) error {
	err := pipeline.ValidateRunName(run.Name)
	if err == nil {
		err = c.owner.allows(ctx)
	}
	if err == nil && run.Pause != nil {
		err = c.provisioner.durables.report(ctx, run, map[string]string{metaPause: pauseMark(run)})
	}
	if err == nil {
		err = c.provisioner.durables.pause(ctx, run.Name, time.Now().Add(pauseLength))
	}
	return wrappedPause("pause", run.Name, err)
}

// ResumeRun starts the delivery again, within a moment. Resuming a run that is not paused changes
// nothing.
//
// A pause that is taken away is noticed by a pull that waits at its next heartbeat only, one that
// ends is noticed at once. So this one ends soon, by the clock of the server.
func (c *Conn) ResumeRun(ctx context.Context, run string) error {
	var info *jetstream.ConsumerInfo
	err := pipeline.ValidateRunName(run)
	if err == nil {
		err = c.owner.allows(ctx)
	}
	if err == nil {
		info, err = c.durableInfo(ctx, WorkStream, run)
	}
	if err != nil || !info.Paused {
		return wrappedPause("resume", run, err)
	}
	err = c.provisioner.durables.pause(ctx, run, info.TimeStamp.Add(resumeIn))
	if err != nil {
		return wrappedPause("resume", run, err)
	}
	return outage.Sleep(ctx, resumeIn)
}

func wrappedPause(what, run string, err error) error {
	switch {
	case isAbsent(err):
		return fmt.Errorf("%s run %s: it is not on the stream: %w", what, run, pipeline.ErrNoRun)
	case err != nil:
		return fmt.Errorf("%s run %s: %w", what, run, err)
	}
	return nil
}

// CancelRun removes a run from the queue and returns how many batches it removed. That includes
// those that workers hold: what they still finish is stored, and what they hand back is gone.
// Answers on their way and dead letters stay. It may be repeated; a count that was lost with the
// connection is missing from the sum.
func (c *Conn) CancelRun(ctx context.Context, run string) (removed int, err error) {
	if err := pipeline.ValidateRunName(run); err != nil {
		return 0, err
	}
	if err := c.owner.allows(ctx); err != nil {
		return 0, fmt.Errorf("take run %s off the queue: %w", run, err)
	}
	// The durable first, so that nothing more is handed out.
	err = c.api(ctx, func(ctx context.Context) error { return c.js.DeleteConsumer(ctx, WorkStream, run) })
	if err != nil && !isAbsent(err) {
		return 0, fmt.Errorf("delete the durable of run %s: %w", run, err)
	}
	return c.purge(ctx, WorkStream, workSubjects(run))
}

// purge removes the messages on these subjects from a stream and returns how many it removed. A
// stream that does not exist has none.
func (c *Conn) purge(ctx context.Context, stream, subjects string) (removed int, err error) {
	var purged struct {
		Purged int `json:"purged"`
	}
	if err := c.owner.allows(ctx); err != nil {
		return 0, fmt.Errorf("remove %s from stream %s: %w", subjects, stream, err)
	}
	err = c.request(ctx, "$JS.API.STREAM.PURGE."+stream, map[string]any{"filter": subjects}, &purged)
	if err != nil && !isAbsent(err) {
		return 0, fmt.Errorf("remove %s from stream %s: %w", subjects, stream, err)
	}
	return purged.Purged, nil
}
