package reconcile

import (
	"context"
	"fmt"
	"slices"

	"gleaner/internal/pipeline"
)

const (
	mostSuspects = 10_000 // batches kept for a second look
	mostLooks    = 10     // at a batch that moves each time, before the audit counts it as moving
)

// A suspect is a batch that was nowhere to be found.
type suspect struct {
	batch  pipeline.Batch // as it was read before the last look
	absent int            // consecutive looks that found it nowhere, while the store did not change
}

// Audit accounts for every generation of a run. It may be called while the run goes on, and takes
// the same memory for any run apart from the summaries of its dead letters, which it reads once. It
// looks again at a batch that moves while the audit searches for it, and calls a batch lost only
// after two looks that found it nowhere while the store did not change.
func (e *Engine) Audit(ctx context.Context, name string) (Account, error) {
	return e.AuditWatched(ctx, name, nil)
}

// AuditWatched does what Audit does. Watch, which may be nil, is called with how many batches are
// accounted for, of how many.
func (e *Engine) AuditWatched(ctx context.Context, name string, watch func(batches, of int)) (Account, error) {
	a, err := e.audit(ctx, name, watch)
	if err == nil {
		err = a.copies(ctx)
	}
	if err != nil {
		return Account{}, err
	}
	return a.account, nil
}

func (e *Engine) audit(ctx context.Context, name string, watch func(batches, of int)) (*audit, error) {
	run, err := e.store.Run(ctx, name)
	if err != nil {
		return nil, err
	}
	if run.State == pipeline.RunLoading || run.State == pipeline.RunDeleting {
		return nil, fmt.Errorf("run %s is %s: there is nothing to audit yet, or any more", run.Name, run.State)
	}
	a := &audit{Engine: e, run: run, letters: map[int]letterSummary{}, account: Account{
		Run: name, State: run.State, Total: run.Generations, Batches: map[pipeline.BatchState]int{},
	}}
	for letter, err := range e.streams.DeadLetters(ctx, name) {
		if err != nil && !unreadable(err) {
			return nil, err
		}
		a.letters[letter.Batch] = summarize(run, letter.DeadLetter)
	}
	a.account.Letters = len(a.letters)
	for from := 0; from < run.Batches; from += PageSize {
		if watch != nil {
			watch(from, run.Batches)
		}
		if err := a.page(ctx, from, min(from+PageSize, run.Batches)); err != nil {
			return nil, err
		}
	}
	if err := a.resolve(ctx); err != nil {
		return nil, err
	}
	consumers, err := e.streams.Consumers(ctx)
	if err != nil {
		return nil, fmt.Errorf("who works on run %s: %w", name, err)
	}
	a.account.Overdue = pipeline.Overdue(name, consumers)
	a.account.close()
	slices.SortStableFunc(a.account.Broken, func(a, b Breach) int { return compareIDs(a.Batch, b.Batch) })
	return a, nil
}

// An audit is one call of Audit.
type audit struct {
	*Engine
	run      pipeline.Run
	letters  map[int]letterSummary // by batch, as of the beginning of the audit
	suspects []suspect
	account  Account
	useless  int // letters of batches that are done or dropped, which Sweep removes
}

// page accounts for consecutive batches. It reads them by index: a list by state would miss or
// repeat a batch that changes its state meanwhile.
func (a *audit) page(ctx context.Context, from, to int) error {
	indexes := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		indexes = append(indexes, i)
	}
	batches, err := a.store.BatchesAt(ctx, a.run.Name, indexes)
	if err != nil {
		return err
	}
	slices.SortFunc(batches, func(a, b pipeline.Batch) int { return a.Index - b.Index })
	if len(batches) < len(indexes) {
		a.account.breach(Breach{Reason: fmt.Sprintf("of the batches %d to %d, %d are not in the store", from, to-1, len(indexes)-len(batches))})
	}
	var open []pipeline.Batch
	for _, b := range batches {
		if r, ok := a.letters[b.Index]; ok {
			if b.State == pipeline.Done && r.round > 0 {
				a.account.Leftover++
			}
			if b.State == pipeline.Done || b.State == pipeline.Dropped {
				a.useless++
			}
		}
		if !a.account.settle(b, a.letters) {
			open = append(open, b)
		}
	}
	queued, err := a.queued(ctx, a.run, len(open))
	if err != nil {
		return err
	}
	for _, b := range open {
		where, _, err := a.locate(ctx, a.run, b, queued)
		if err != nil {
			return err
		}
		if a.account.find(b, where) {
			continue
		}
		a.suspects = append(a.suspects, suspect{batch: b, absent: 1})
		if len(a.suspects) == mostSuspects {
			if err := a.resolve(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve looks at the suspects again until each of them is found or certainly lost.
func (a *audit) resolve(ctx context.Context) error {
	for looks := 1; len(a.suspects) > 0; looks++ {
		if err := a.sleep(ctx, a.cfg.Pause); err != nil {
			return err
		}
		if err := a.again(ctx, looks); err != nil {
			return err
		}
	}
	return nil
}

// again reads the suspects again and keeps those of which nothing is certain yet.
func (a *audit) again(ctx context.Context, looks int) error {
	before := a.suspects
	a.suspects = nil
	for page := range slices.Chunk(before, PageSize) {
		now, err := a.reread(ctx, page)
		if err != nil {
			return err
		}
		for _, s := range page {
			b, there := now[s.batch.Index]
			if !there {
				continue // the run is being deleted: the total will say so
			}
			kept, err := a.judge(ctx, s, b, looks)
			if err != nil {
				return err
			}
			if kept != nil {
				a.suspects = append(a.suspects, *kept)
			}
		}
	}
	return nil
}

func (a *audit) reread(ctx context.Context, page []suspect) (map[int]pipeline.Batch, error) {
	indexes := make([]int, len(page))
	for i, s := range page {
		indexes[i] = s.batch.Index
	}
	batches, err := a.store.BatchesAt(ctx, a.run.Name, indexes)
	now := make(map[int]pipeline.Batch, len(batches))
	for _, b := range batches {
		now[b.Index] = b
	}
	return now, err
}

// judge accounts for a suspect, whose batch is now b, or returns it for another look.
func (a *audit) judge(ctx context.Context, s suspect, b pipeline.Batch, looks int) (*suspect, error) {
	same := b.State == s.batch.State && b.Round == s.batch.Round && len(b.Done) == len(s.batch.Done)
	switch {
	case same && s.absent >= 2: // what was read after the second look confirms it
		a.account.lose(b)
		return nil, nil
	case b.State != pipeline.Dead && a.account.settle(b, nil):
		return nil, nil
	}
	where, _, err := a.locate(ctx, a.run, b, nil)
	switch {
	case err != nil:
		return nil, err
	case a.account.find(b, where):
		return nil, nil
	case looks >= mostLooks && !same:
		a.account.Moving += len(b.Missing())
		a.account.count(b)
		return nil, nil
	case !same:
		s.absent = 0
	}
	return &suspect{batch: b, absent: s.absent + 1}, nil
}

// compareIDs orders ids, with empty ones last.
func compareIDs(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "" || b != "" && a > b:
		return 1
	}
	return -1
}
