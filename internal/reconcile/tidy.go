package reconcile

import (
	"context"
	"maps"
	"slices"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// A tidier takes batches of one run off the queue that are done or dropped: a broker that was
// restored brings them back, and a process may have died before it removed the message of a batch
// that it gave up.
type tidier struct {
	*Engine
	settled map[int]bool // batches that the last pass found on the queue although they are at their end
}

// tidy acts on what two passes found, since a batch may be done a moment before its worker
// acknowledges it. It lists the queue if the caller wants it to, as where there is more on the
// queue than the store has queued.
func (r *tidier) tidy(ctx context.Context, run pipeline.Run, list bool) error {
	if !list && len(r.settled) == 0 {
		return nil
	}
	return r.clear(ctx, run, false)
}

// clear lists the queue and takes off it what is at its end. Unless it is restored, this is what
// was found so before, too.
func (r *tidier) clear(ctx context.Context, run pipeline.Run, restored bool) error {
	queued, err := r.streams.Queued(ctx, run.Name)
	if err != nil {
		return err
	}
	before := r.settled
	r.settled = map[int]bool{}
	removed := 0
	for indexes := range slices.Chunk(slices.Sorted(maps.Keys(queued)), PageSize) {
		batches, err := r.store.BatchesAt(ctx, run.Name, indexes)
		if err != nil {
			return err
		}
		for _, b := range batches {
			switch {
			case b.State != pipeline.Done && b.State != pipeline.Dropped:
			case !before[b.Index] && !restored:
				r.settled[b.Index] = true
			default:
				if err := r.unqueue(ctx, run, b.Index); err != nil {
					return err
				}
				removed++
			}
		}
	}
	if removed > 0 {
		r.log.Info("took batches off the queue that are at their end", zap.String("run", run.Name), zap.Int("batches", removed))
	}
	return nil
}

// unqueue removes the message of a batch from the queue, if it is one of this load of the run.
func (e *Engine) unqueue(ctx context.Context, run pipeline.Run, index int) error {
	work, found, err := e.streams.FindWork(ctx, run.Name, index)
	if err != nil && !unreadable(err) || !found {
		return err
	}
	if err == nil && work.UID != run.UID {
		return nil
	}
	return e.streams.RemoveWork(ctx, run.Name, index, work.Sequence)
}
