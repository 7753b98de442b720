package reconcile

import (
	"context"
	"errors"
	"maps"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/pipeline"
)

// clearedAtOnce is how many batches are taken off the queue at a time.
const clearedAtOnce = 32

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
		var ended errgroup.Group // at once: workers take what a restored broker has while this goes on
		ended.SetLimit(clearedAtOnce)
		for _, b := range batches {
			switch {
			case b.State != pipeline.Done && b.State != pipeline.Dropped && b.State != pipeline.Dead:
			case !before[b.Index] && !restored:
				r.settled[b.Index] = true
			case b.State == pipeline.Dead: // its worker may be between its letter and its ack
				gone, err := r.removeStray(ctx, run.Name, b.Index)
				if err != nil {
					return errors.Join(err, ended.Wait())
				}
				if gone {
					removed++
				}
			default:
				ended.Go(func() error { return r.unqueue(ctx, run, b.Index) })
				removed++
			}
		}
		if err := ended.Wait(); err != nil {
			return err
		}
	}
	if removed > 0 {
		r.log.Info("took batches off the queue that are at their end", zap.String("run", run.Name), zap.Int("batches", removed))
	}
	return nil
}

// ClearQueue takes batches of a run that are at their end off the queue. It is for a process that
// starts and is the only one with workers: what a killed one had acknowledged may be on the queue
// again, since a NATS server brings acknowledgements to the disk later than messages.
func (e *Engine) ClearQueue(ctx context.Context, run pipeline.Run) error {
	return (&tidier{Engine: e}).clear(ctx, run, true)
}

// removeStray takes the message of a batch off the queue if the queue hands it out to no one, and
// reports whether it did. A server that is killed may have counted an acknowledgement, and find the
// message again on its disk: it would be in the way of every further round of the batch.
func (e *Engine) removeStray(ctx context.Context, run string, index int) (bool, error) {
	work, found, err := e.streams.FindWork(ctx, run, index)
	if err != nil && !unreadable(err) || !found {
		return false, err
	}
	info, err := e.streams.RunInfo(ctx, run) // after the message: with a new stream its sequences begin again
	if errors.Is(err, pipeline.ErrNoRun) {
		return false, nil
	}
	if err != nil || work.Sequence > info.Settled {
		return false, err
	}
	if err := e.streams.RemoveWork(ctx, run, index, work.Sequence); err != nil {
		return false, err
	}
	e.log.Warn("took a batch off the queue that the NATS server kept although it was acknowledged", zap.String("batch", pipeline.BatchID(run, index)))
	return true, nil
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
