package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gleaner/internal/pipeline"
)

// GiveUpOptions say which queued batches of a run are given up. The zero value gives up all.
type GiveUpOptions struct {
	Batches []int // none: all that are queued
	Resting bool  // those that were handed back and are not due yet, as far as that is known
	DryRun  bool  // only count

	Progress func(GiveUpReport) // called after each batch; may be nil
}

// A GiveUpReport counts what GiveUp did.
type GiveUpReport struct {
	Chosen      int   `json:"chosen"`      // batches
	GivenUp     int   `json:"given_up"`    // of these; in a dry run, batches that would be
	Generations int   `json:"generations"` // of the batches that were given up, without a result
	Skipped     int   `json:"skipped"`     // not queued: planned, done, dead or dropped already, or not in the run
	Batches     []int `json:"batches"`     // those that were given up, the first hundred
}

const mostGivenUpNamed = 100

// GiveUp drops batches of a run that are still on the queue, for good. An answer that arrives later
// is stored all the same. It may be interrupted anywhere and called again.
func (e *Engine) GiveUp(ctx context.Context, name string, options GiveUpOptions) (GiveUpReport, error) {
	report := GiveUpReport{Batches: []int{}}
	run, err := e.store.Run(ctx, name)
	if err != nil {
		return report, err
	}
	if options.Resting {
		resting, err := e.resting(ctx, run)
		if err != nil {
			return report, err
		}
		if len(options.Batches) > 0 {
			resting = slices.DeleteFunc(resting, func(i int) bool { return !slices.Contains(options.Batches, i) })
		}
		options.Batches = resting
	}
	if !options.Resting && len(options.Batches) == 0 {
		return report, e.giveUpQueued(ctx, run, options, &report)
	}
	for page := range slices.Chunk(options.Batches, PageSize) {
		batches, err := e.store.BatchesAt(ctx, name, page)
		if err == nil {
			absent := len(page) - len(batches)
			report.Chosen, report.Skipped = report.Chosen+absent, report.Skipped+absent
			err = e.giveUpAll(ctx, run, batches, options, &report)
		}
		if err != nil {
			return report, err
		}
	}
	return report, nil
}

func (e *Engine) giveUpQueued(ctx context.Context, run pipeline.Run, options GiveUpOptions, report *GiveUpReport) error {
	for from := 0; ; {
		batches, err := e.store.Batches(ctx, run.Name, pipeline.Queued, from, PageSize)
		if err != nil || len(batches) == 0 {
			return err
		}
		if err := e.giveUpAll(ctx, run, batches, options, report); err != nil {
			return err
		}
		from = batches[len(batches)-1].Index + 1
	}
}

func (e *Engine) giveUpAll(ctx context.Context, run pipeline.Run, batches []pipeline.Batch, options GiveUpOptions, report *GiveUpReport) error {
	for _, b := range batches {
		report.Chosen++
		did, err := e.giveUp(ctx, run, b, options.DryRun)
		if err != nil {
			return err
		}
		report.count(b, did)
		if options.Progress != nil {
			options.Progress(*report)
		}
	}
	return nil
}

// count adds a batch that was given up, or was not.
func (r *GiveUpReport) count(b pipeline.Batch, did bool) {
	if !did {
		r.Skipped++
		return
	}
	r.GivenUp++
	r.Generations += len(b.Missing())
	if len(r.Batches) < mostGivenUpNamed {
		r.Batches = append(r.Batches, b.Index)
	}
}

// giveUp drops one batch in the store first: whatever is left on the queue after that is of no use,
// and is removed by a later call or by a RunReconciler.
func (e *Engine) giveUp(ctx context.Context, run pipeline.Run, seen pipeline.Batch, dry bool) (bool, error) {
	switch {
	case seen.State == pipeline.Dropped && !dry:
		return false, e.unqueue(ctx, run, seen.Index)
	case seen.State != pipeline.Queued:
		return false, nil
	case dry:
		return true, nil
	}
	ours, err := e.store.Drop(ctx, seen)
	if err != nil { // it may have happened all the same
		b, lost := e.readBatch(ctx, run.Name, seen.Index)
		if lost != nil || b.State != pipeline.Dropped || b.Round != seen.Round {
			return false, err
		}
		ours = true
	}
	if !ours {
		return false, nil
	}
	return true, e.unqueue(ctx, run, seen.Index)
}

// resting returns the batches of a run that were handed back with a delay which is not over. The
// consumers name them. Those of a consumer that is gone are known only while no GPU works: then
// everything that was handed out rests.
func (e *Engine) resting(ctx context.Context, run pipeline.Run) ([]int, error) {
	consumers, err := e.streams.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	named, busy := map[int]bool{}, 0
	for _, l := range fleetOf(run, consumers).lanes {
		busy += l.Busy
		for _, index := range l.RestingBatches {
			named[index] = true
		}
	}
	info, err := e.streams.RunInfo(ctx, run.Name)
	if err != nil {
		return nil, fmt.Errorf("which batches rest: %w", err)
	}
	if busy == 0 && info.Held > len(named) {
		err = e.handedOut(ctx, run, info, named)
	}
	return slices.Sorted(maps.Keys(named)), err
}

// handedOut adds the batches that were delivered at least once and are still on the queue.
func (e *Engine) handedOut(ctx context.Context, run pipeline.Run, info pipeline.RunInfo, named map[int]bool) error {
	for from := 0; ; {
		batches, err := e.store.Batches(ctx, run.Name, pipeline.Queued, from, PageSize)
		if err != nil || len(batches) == 0 {
			return err
		}
		for _, b := range batches {
			if len(named) >= info.Held {
				return nil
			}
			work, found, err := e.streams.FindWork(ctx, run.Name, b.Index)
			if err != nil && !unreadable(err) {
				return err
			}
			if found && work.Sequence <= info.HandedOut {
				named[b.Index] = true
			}
		}
		from = batches[len(batches)-1].Index + 1
	}
}
