package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// cancelAgain is the time that a publisher or a reconciler in the middle of a chunk of batches gets
// to notice that the run is cancelled.
const cancelAgain = 2 * time.Second

// ControlStore is the part of the store that pauses, cancels and deletes runs.
type ControlStore interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
	Pause(ctx context.Context, run, uid string, pause pipeline.RunPause) error
	Resume(ctx context.Context, run, uid string, at time.Time) error
	Cancel(ctx context.Context, run string) error
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
	DeleteRun(ctx context.Context, run string, progress func(removed int)) error
}

// ControlStreams is the part of the streams that pauses, resumes and removes runs.
type ControlStreams interface {
	PauseRun(ctx context.Context, run pipeline.Run) error
	ResumeRun(ctx context.Context, run string) error
	CancelRun(ctx context.Context, run string) (removed int, err error)
	RemoveRun(ctx context.Context, run string) error
	// RunInfo returns what the queue says of a run, or pipeline.ErrNoRun.
	RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error)
	Teller
}

// A Teller tells the consumers of a run at once what they would find out later.
type Teller interface {
	// TellConsumers may fail, and what it says may get lost: no one may depend on it.
	TellConsumers(ctx context.Context, run pipeline.Run, what pipeline.News) error
}

// A Control pauses, resumes, cancels and deletes runs. Each verb may be interrupted and called
// again, and does nothing to another run that has been loaded under the same name since.
type Control struct {
	store   ControlStore
	streams ControlStreams
}

// NewControl returns a control over the runs of this store and these streams.
func NewControl(store ControlStore, streams ControlStreams) *Control {
	return &Control{store: store, streams: streams}
}

// Pause stops handing out the batches of a run, for a reason in words that may be empty: workers
// finish what they hold and get nothing new. It pauses the run in the store first. The process that
// follows the run takes that over to the queue if Pause does not get there. A run that is paused
// already keeps its pause.
func (c *Control) Pause(ctx context.Context, run pipeline.Run, cause pipeline.PauseCause, reason string) error {
	if err := c.here(ctx, run, "paused"); err != nil {
		return err
	}
	if err := c.store.Pause(ctx, run.Name, run.UID, pipeline.RunPause{Since: time.Now(), Cause: cause, Reason: reason}); err != nil {
		return err
	}
	run, err := c.store.Run(ctx, run.Name)
	if err == nil {
		err = c.streams.PauseRun(ctx, run)
	}
	if errors.Is(err, pipeline.ErrNoRun) { // it is paused as soon as it is published
		return nil
	}
	return err
}

// Resume hands out the batches of a run again. It resumes the run in the store first, see Pause.
func (c *Control) Resume(ctx context.Context, run pipeline.Run) error {
	if err := c.here(ctx, run, "resumed"); err != nil {
		return err
	}
	if err := c.store.Resume(ctx, run.Name, run.UID, time.Now()); err != nil {
		return err
	}
	if err := c.streams.ResumeRun(ctx, run.Name); err != nil && !errors.Is(err, pipeline.ErrNoRun) {
		return err
	}
	_ = c.streams.TellConsumers(ctx, run, pipeline.NewsPublished) // they have pulls waiting, too
	return nil
}

// here returns an error unless it is this run that the store and the queue have under its name, and
// it is open. The queue need not have it.
func (c *Control) here(ctx context.Context, run pipeline.Run, what string) error {
	now, err := c.store.Run(ctx, run.Name)
	if err = run.StillThere(now, err); err != nil {
		return err
	}
	if now.State != pipeline.RunOpen {
		return fmt.Errorf("run %s is %s: it cannot be %s", run.Name, now.State, what)
	}
	if err := c.queued(ctx, run); err != nil && !errors.Is(err, pipeline.ErrNoRun) {
		return err
	}
	return nil
}

// queued returns an error unless it is this run that the queue has under its name.
func (c *Control) queued(ctx context.Context, run pipeline.Run) error {
	info, err := c.streams.RunInfo(ctx, run.Name)
	if err == nil && info.UID != "" && info.UID != run.UID {
		err = fmt.Errorf("what the queue has under the name %s is another load of it: `%s` puts the present one there",
			run.Name, advice.Command("publish", "--run", run.Name))
	}
	return err
}

// same returns an error unless it is this run that the store has under its name.
func (c *Control) same(ctx context.Context, run pipeline.Run) error {
	now, err := c.store.Run(ctx, run.Name)
	return run.StillThere(now, err)
}

// A CancelReport says what cancelling a run removed and what stays.
type CancelReport struct {
	Removed     int // batches removed from the queue
	Stored      int // generations with an answer; the answers stay
	Generations int // of the run
}

// Cancel ends a run; its answers stay. It cancels the run in the store first, so that nothing
// publishes it again. It empties the queue twice, two seconds apart, because a publisher or a
// reconciler may still be finishing a chunk of batches.
func (c *Control) Cancel(ctx context.Context, run pipeline.Run) (CancelReport, error) {
	var report CancelReport
	if err := c.same(ctx, run); err != nil {
		return report, err
	}
	if err := c.store.Cancel(ctx, run.Name); err != nil {
		return report, err
	}
	removed, err := c.streams.CancelRun(ctx, run.Name)
	report.Removed = removed
	if err != nil {
		return report, err
	}
	_ = c.streams.TellConsumers(ctx, run, pipeline.NewsCancelled) // else they find out that it is gone
	if err := outage.Sleep(ctx, cancelAgain); err != nil {
		return report, err
	}
	removed, err = c.streams.CancelRun(ctx, run.Name)
	report.Removed += removed
	if err != nil {
		return report, err
	}
	progress, err := c.store.Progress(ctx, run.Name, time.Now())
	report.Stored, report.Generations = progress.Stored, progress.Generations
	return report, err
}

// Delete removes a run with everything that belongs to it, and returns how many documents it
// removed. Progress, which may be nil, gets the number of documents removed so far. Delete removes
// the run from the streams first, so that no consumer works for nothing, and again at the end,
// because results may have arrived meanwhile.
func (c *Control) Delete(ctx context.Context, run pipeline.Run, progress func(removed int)) (removed int, err error) {
	if err := c.same(ctx, run); err != nil {
		return 0, err
	}
	if err := c.streams.RemoveRun(ctx, run.Name); err != nil {
		return 0, err
	}
	_ = c.streams.TellConsumers(ctx, run, pipeline.NewsDeleted) // else they find out that it is gone
	err = c.store.DeleteRun(ctx, run.Name, func(n int) {
		if removed = n; progress != nil {
			progress(n)
		}
	})
	if err != nil {
		return removed, err
	}
	return removed, c.streams.RemoveRun(ctx, run.Name)
}
