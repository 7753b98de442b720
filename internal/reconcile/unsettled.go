package reconcile

import (
	"context"
	"errors"

	"gleaner/internal/pipeline"
)

// A follower is what this process knows of a run that it follows to its end.
type follower struct {
	*RunReconciler
	users int // calls of Reconcile, guarded by Engine.following
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

// Unsettled returns how many generations of a run that seems complete have not come to their end:
// those that get a second opinion, and those that are not accounted for. It removes the dead
// letters that are of no use any more.
func (e *Engine) Unsettled(ctx context.Context, run string) (int, error) {
	f := e.follow(run, 0)
	report, err := f.lookSurely(ctx)
	if errors.Is(err, pipeline.ErrNoRun) || errors.Is(err, errNotOpen) {
		e.forgetUnused(run)
	}
	if left := report.Awaiting + report.Given + report.Again; err != nil || left > 0 {
		return left, err
	}
	if _, err := e.Sweep(ctx, run); err != nil {
		return 0, err
	}
	account, err := e.Audit(ctx, run)
	return account.Lost + account.Outstanding, err
}

// forgetUnused forgets the follower of a run that has ended, unless Reconcile still works on it.
func (e *Engine) forgetUnused(run string) {
	e.following.Lock()
	defer e.following.Unlock()
	if found, there := e.followed.Load(run); there && found.(*follower).users == 0 {
		e.followed.Delete(run)
	}
}
