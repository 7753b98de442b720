package reconcile

import (
	"context"

	"gleaner/internal/pipeline"
)

// DropOptions say how dead letters are dropped. The zero value drops all that are chosen.
type DropOptions struct {
	Limit  int  // batches to drop, at most; 0: no limit
	DryRun bool // only count

	Progress func(DropReport) // called after each letter; may be nil
}

// A DropReport counts what Drop did with the chosen dead letters.
type DropReport struct {
	Chosen      int `json:"chosen"`      // letters that passed the filter
	Dropped     int `json:"dropped"`     // batches dropped; in a dry run, batches that would be
	Generations int `json:"generations"` // of these, without a result
	Removed     int `json:"removed"`     // useless letters: the batch is done, already dropped or gone
	Skipped     int `json:"skipped"`     // the batch is under way, or another process was quicker
}

// Drop marks the batches of the chosen dead letters as dropped, for good, and deletes the letters.
// It may be interrupted anywhere and called again.
func (e *Engine) Drop(ctx context.Context, filter Filter, options DropOptions) (DropReport, error) {
	var report DropReport
	for letter, err := range e.Letters(ctx, filter) {
		if err == nil {
			report.Chosen++
			err = e.drop(ctx, letter, options.DryRun, &report)
		}
		if err != nil {
			return report, err
		}
		if options.Progress != nil {
			options.Progress(report)
		}
		if options.Limit > 0 && report.Dropped >= options.Limit {
			break
		}
	}
	return report, nil
}

// drop writes to the store first: a reconciler would repair a dead batch without a letter.
func (e *Engine) drop(ctx context.Context, letter Letter, dry bool, report *DropReport) error {
	b := letter.Now
	switch {
	case b.State == pipeline.Dead:
		ours := true
		if !dry {
			var err error
			if ours, err = e.store.Drop(ctx, b); err != nil {
				return err
			}
		}
		if !ours {
			report.Skipped++
			return nil
		}
		report.Dropped++
		report.Generations += len(b.Missing())
	case b.State == pipeline.Done || b.State == pipeline.Dropped || b.State == "":
		report.Removed++
	default:
		report.Skipped++
		return nil
	}
	if dry {
		return nil
	}
	return e.streams.DeleteDeadLetter(ctx, letter.Sequence)
}
