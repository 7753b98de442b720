package reconcile

import (
	"context"

	"gleaner/internal/pipeline"
)

// DropOptions say how dead letters are given up. Zero values mean all of them.
type DropOptions struct {
	Limit  int  // batches to give up, at most
	DryRun bool // only count
}

// A DropReport says what became of the dead letters that were chosen.
type DropReport struct {
	Chosen      int `json:"chosen"`      // letters that the filter let through
	Dropped     int `json:"dropped"`     // batches given up, in a dry run: would be
	Generations int `json:"generations"` // of these, without a result
	Removed     int `json:"removed"`     // letters without a use: the batch is done, dropped already or not there any more
	Skipped     int `json:"skipped"`     // the batch is under way, or somebody was quicker
}

// Drop gives up the batches of the chosen dead letters for good. It may be interrupted anywhere
// and called again.
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
		if options.Limit > 0 && report.Dropped >= options.Limit {
			break
		}
	}
	return report, nil
}

// drop writes into the ledger first: a dead batch whose record is gone would be repaired.
func (e *Engine) drop(ctx context.Context, letter Letter, dry bool, report *DropReport) error {
	b := letter.Now
	switch {
	case b.State == pipeline.Dead:
		ours := true
		if !dry {
			var err error
			if ours, err = e.store.Drop(ctx, b.Run, b.Index, b.Round); err != nil {
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
