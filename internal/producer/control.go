package producer

import (
	"context"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// cancelAgain is the time that a publisher or a reconciler in the middle of a chunk of batches gets
// to notice that the run is cancelled.
const cancelAgain = 2 * time.Second

// ControlStore is the part of the store that cancels and deletes runs.
type ControlStore interface {
	Cancel(ctx context.Context, run string) error
	Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error)
	DeleteRun(ctx context.Context, run string, progress func(removed int)) error
}

// ControlStreams is the part of the streams that pauses, resumes and removes runs.
type ControlStreams interface {
	PauseRun(ctx context.Context, run string) error
	ResumeRun(ctx context.Context, run string) error
	CancelRun(ctx context.Context, run string) (removed int, err error)
	RemoveRun(ctx context.Context, run string) error
}

// A Control pauses, resumes, cancels and deletes runs. Each verb may be interrupted and called
// again.
type Control struct {
	store   ControlStore
	streams ControlStreams
}

// NewControl returns a control over the runs of this store and these streams.
func NewControl(store ControlStore, streams ControlStreams) *Control {
	return &Control{store: store, streams: streams}
}

// Pause stops handing out the batches of a run: workers finish what they hold and get nothing new.
func (c *Control) Pause(ctx context.Context, run string) error { return c.streams.PauseRun(ctx, run) }

// Resume hands out the batches of a run again.
func (c *Control) Resume(ctx context.Context, run string) error { return c.streams.ResumeRun(ctx, run) }

// A CancelReport says what cancelling a run removed and what stays.
type CancelReport struct {
	Removed     int // batches removed from the queue
	Stored      int // generations with an answer; the answers stay
	Generations int // of the run
}

// Cancel ends a run; its answers stay. It cancels the run in the store first, so that nothing
// publishes it again. It empties the queue twice, two seconds apart, because a publisher or a
// reconciler may still be finishing a chunk of batches.
func (c *Control) Cancel(ctx context.Context, run string) (CancelReport, error) {
	var report CancelReport
	if err := c.store.Cancel(ctx, run); err != nil {
		return report, err
	}
	removed, err := c.streams.CancelRun(ctx, run)
	report.Removed = removed
	if err != nil {
		return report, err
	}
	if err := outage.Sleep(ctx, cancelAgain); err != nil {
		return report, err
	}
	removed, err = c.streams.CancelRun(ctx, run)
	report.Removed += removed
	if err != nil {
		return report, err
	}
	progress, err := c.store.Progress(ctx, run, time.Now())
	report.Stored, report.Generations = progress.Stored, progress.Generations
	return report, err
}

// Delete removes a run with everything that belongs to it, and returns how many documents it
// removed. Progress, which may be nil, gets the number of documents removed so far. Delete removes
// the run from the streams first, so that no consumer works for nothing, and again at the end,
// because results may have arrived meanwhile.
func (c *Control) Delete(ctx context.Context, run string, progress func(removed int)) (removed int, err error) {
	if err := c.streams.RemoveRun(ctx, run); err != nil {
		return 0, err
	}
	err = c.store.DeleteRun(ctx, run, func(n int) {
		if removed = n; progress != nil {
			progress(n)
		}
	})
	if err != nil {
		return removed, err
	}
	return removed, c.streams.RemoveRun(ctx, run)
}
