package reconcile

import (
	"context"
	"time"

	"gleaner/internal/pipeline"
)

// fewQueued is how many batches may be queued for a look at all of them every few seconds. If there
// are more, each pass looks at them.
const fewQueued = 200

// A refusal is a round that was started because an answer was refused.
type refusal struct {
	round int // in which the answer was refused
	times int // in rounds one after the other
	due   time.Time
}

// againAll gives another round to the batches of which an answer was refused, and returns how many.
func (r *RunReconciler) againAll(ctx context.Context, run pipeline.Run) (again int, err error) {
	if r.inStore > fewQueued {
		return 0, nil
	}
	batches, err := r.store.Batches(ctx, run.Name, pipeline.Queued, 0, fewQueued)
	if err != nil {
		return 0, err
	}
	for _, b := range batches {
		did, err := r.again(ctx, run, b)
		if err != nil {
			return again, err
		}
		if did {
			again++
		}
	}
	return again, nil
}

// again gives a batch another round if an answer of it was refused in this one: its message was
// acknowledged, so nothing else would. A batch that is still on its way may be delivered again, or
// its other answers arrive. If answers are refused round after round, the rounds are further and
// further apart.
func (r *RunReconciler) again(ctx context.Context, run pipeline.Run, seen pipeline.Batch) (bool, error) {
	if seen.State != pipeline.Queued || seen.Refused != seen.Round {
		return false, nil
	}
	n, known := r.refusals[seen.Index]
	if n.round != seen.Round {
		times := 0
		if known && n.round == seen.Round-1 {
			times = n.times + 1
		}
		n = refusal{round: seen.Round, times: times, due: r.now().Add(time.Duration(times) * r.cfg.Lease)}
		r.refusals[seen.Index] = n
	}
	if r.now().Before(n.due) {
		return false, nil
	}
	// Batches move in this direction only, so a batch that is in neither has no further answers.
	if found, err := r.streams.InWork(ctx, run.Name, seen.Index); err != nil || found {
		return false, err
	}
	if found, err := r.streams.InResults(ctx, run.Name, seen.Index); err != nil || found {
		return false, err
	}
	b, err := r.readBatch(ctx, run.Name, seen.Index)
	if err != nil || b.State != seen.State || b.Round != seen.Round {
		return false, err
	}
	work, err := workFor(ctx, r.build, b)
	if err != nil {
		return false, err
	}
	return r.start(ctx, b, b.Opinions, newRound{work: work})
}
