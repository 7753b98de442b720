package reconcile

import (
	"context"
	"maps"
	"slices"
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
	pass  int // of the reconciler, the last in which the batch was queued
}

// Refusals are the batches of one run of which answers were refused.
type refusals struct {
	*rounds
	known map[int]refusal // by batch
	pass  int
	old   *bool // whether a consumer is present that is too old; nil: this look has not asked
}

func newRefusals(r *rounds) *refusals { return &refusals{rounds: r, known: map[int]refusal{}} }

// passed ends a pass of the reconciler: it forgets the batches that were not queued in it, since
// they are at their end, or their next round has nothing to do with a refused answer.
func (r *refusals) passed() {
	maps.DeleteFunc(r.known, func(_ int, n refusal) bool { return n.pass != r.pass })
	r.pass++
}

// all gives another round to those among the first batches that are queued, and returns how many it
// gave.
func (r *refusals) all(ctx context.Context, run openRun) (again int, err error) {
	batches, err := r.store.Batches(ctx, run.Name, pipeline.Queued, 0, fewQueued)
	if err != nil {
		return 0, err
	}
	r.old = nil
	for _, b := range batches {
		did, _, err := r.again(ctx, run, b)
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
// further apart, and wait while a consumer is present whose answers are always refused.
func (r *refusals) again(ctx context.Context, run openRun, seen pipeline.Batch) (did, waits bool, err error) {
	if seen.State != pipeline.Queued {
		return false, false, nil
	}
	n, known := r.known[seen.Index]
	if known {
		n.pass = r.pass
		r.known[seen.Index] = n
	}
	if seen.Refused != seen.Round {
		return false, false, nil
	}
	if n.round != seen.Round {
		times := 0
		if known && n.round == seen.Round-1 {
			times = n.times + 1
		}
		n = refusal{round: seen.Round, times: times, due: r.now().Add(time.Duration(times) * r.cfg.Lease), pass: r.pass}
		r.known[seen.Index] = n
	}
	// The second refusal is in the second round at the earliest, and the round outlives this process.
	if seen.Round > 1 {
		if waits, err = r.tooOld(ctx, run.Run); err != nil || waits {
			return false, waits, err
		}
	}
	if r.now().Before(n.due) || r.crowded() {
		return false, false, nil
	}
	if where, _, err := r.locate(ctx, run.Run, seen, nil); err != nil || where != nowhere {
		return false, false, err
	}
	b, err := r.readBatch(ctx, run.Name, seen.Index)
	if err != nil || b.State != seen.State || b.Round != seen.Round {
		return false, false, err
	}
	work, err := workFor(ctx, run.build, b)
	if err != nil {
		return false, false, err
	}
	did, err = r.start(ctx, b, b.Opinions, newRound{work: work})
	return did, false, err
}

// tooOld reports whether a consumer of the run is present that does not bring tokens back. It asks
// once in each look.
func (r *refusals) tooOld(ctx context.Context, run pipeline.Run) (bool, error) {
	if len(run.Key) == 0 {
		return false, nil
	}
	if r.old == nil {
		consumers, err := r.streams.Consumers(ctx)
		if err != nil {
			return false, err
		}
		old := slices.ContainsFunc(consumers, run.TooOld)
		r.old = &old
	}
	return *r.old, nil
}
