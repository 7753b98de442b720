package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

// The time between two audits of a run that seems complete and is not accounted for. An audit reads
// all dead letters and all batches, so the time grows while the audits say the same. Once this
// process has put something right it audits again at once.
const (
	leastAuditEvery = 2 * time.Second
	mostAuditEvery  = 30 * time.Second
)

// A follower is what this process knows of a run that it follows to its end.
type follower struct {
	*RunReconciler
	users int // calls of Reconcile, guarded by Engine.following

	auditing sync.Mutex    // held by each audit, and guards what the last one has found
	left     int           // generations that were lost
	mends    int64         // of the reconciler by then
	rest     time.Duration // until the next one
	due      time.Time
}

// Reconcile queues again what the streams lose of a run, and what another GPU shall judge, until
// ctx ends, and then returns nil. It returns an error if the run is gone or not open.
func (e *Engine) Reconcile(ctx context.Context, run string) error {
	f := e.follow(run, 1)
	defer e.follow(run, -1)
	return f.Run(ctx)
}

// follow returns the follower of a run that Reconcile and Unsettled share. More is how many more
// calls of Reconcile use it; after the last one it is forgotten.
func (e *Engine) follow(run string, more int) *follower {
	e.following.Lock()
	defer e.following.Unlock()
	found, _ := e.followed.LoadOrStore(run, &follower{RunReconciler: e.Reconciler(run)})
	f := found.(*follower)
	if f.users += more; f.users == 0 && more < 0 {
		e.followed.Delete(run)
	}
	return f
}

// Unstored returns how many batches of a run that Reconcile follows are generated and wait for the
// store: as many as did so in the last two passes, since a few always do. It asks for nothing.
func (e *Engine) Unstored(run string) int { return e.follow(run, 0).Unstored() }

// Unsettled returns how many generations of a run that seems complete have not come to their end:
// those that get a second opinion, and those that are not accounted for. If there are none, it
// removes the dead letters that are of no use any more. It is meant for every few seconds while
// Reconcile works: not each call audits the run.
func (e *Engine) Unsettled(ctx context.Context, run string) (int, error) {
	f := e.follow(run, 0)
	report, err := f.lookSurely(ctx)
	if errors.Is(err, pipeline.ErrNoRun) || errors.Is(err, errNotOpen) {
		e.forgetUnused(run)
	}
	if left := report.Awaiting + report.Given + report.Again; err != nil || left > 0 {
		return left, err
	}
	return f.unaccounted(ctx)
}

// forgetUnused forgets the follower of a run that has ended, unless Reconcile still works on it.
func (e *Engine) forgetUnused(run string) {
	e.following.Lock()
	defer e.following.Unlock()
	if found, there := e.followed.Load(run); there && found.(*follower).users == 0 {
		e.followed.Delete(run)
	}
}

// unaccounted returns how many generations an audit does not account for. It repeats what the last
// one said while nothing was put right and the next one is not due.
func (f *follower) unaccounted(ctx context.Context) (int, error) {
	f.auditing.Lock()
	defer f.auditing.Unlock()
	mends := f.RunReconciler.mends.Load()
	same := f.left > 0 && mends == f.mends
	if same && f.now().Before(f.due) {
		return f.left, nil
	}
	before := f.left
	f.left = 0
	a, err := f.audit(ctx, f.run, nil)
	if err != nil {
		return 0, err
	}
	left := a.account.Lost + a.account.Outstanding
	if left == 0 && a.useless > 0 {
		if _, err := f.Sweep(ctx, f.run); err != nil {
			return 0, err
		}
	}
	if !same || left != before {
		f.rest = 0
	}
	f.rest = min(max(2*f.rest, leastAuditEvery), mostAuditEvery)
	f.mends, f.due = mends, f.now().Add(f.rest)
	if a.account.Outstanding == 0 { // else it is on its way, and who follows the run waits for it
		f.left = left
	}
	return left, nil
}
