package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"regexp"
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

// A Filter chooses dead letters. The zero value chooses all that are not orphaned.
type Filter struct {
	Run       string           // "": of every run
	Batches   []int            // none: all
	Items     []int            // that one of its failures is about; none: all
	Classes   []pipeline.Class // of the letter or of one of its failures; none: all
	Pattern   *regexp.Regexp   // matches the letter's message or one of its failures'; nil: all
	OlderThan time.Duration    // failed at least this long ago, by the consumer's clock; 0: all
	NewerThan time.Duration    // failed at most this long ago; 0: all
	// Orphaned chooses the letters without a batch that could be answered, and no others: of runs
	// that are gone, or were deleted and loaded again, and those that cannot be read.
	Orphaned bool
	// Others, if set, counts the letters that it leaves out because of Orphaned.
	Others *int
}

// match reports whether the filter chooses a letter.
func (f Filter) match(d pipeline.DeadLetter, now time.Time) bool {
	age := now.Sub(d.FailedAt)
	switch {
	case f.Run != "" && d.Run != f.Run,
		len(f.Batches) > 0 && !slices.Contains(f.Batches, d.Batch),
		len(f.Items) > 0 && !anyItem(d, f.Items),
		f.OlderThan > 0 && age < f.OlderThan,
		f.NewerThan > 0 && age > f.NewerThan,
		len(f.Classes) > 0 && !anyClass(d, f.Classes):
		return false
	}
	return f.Pattern == nil || f.Pattern.MatchString(d.Message) || slices.ContainsFunc(d.Failures, func(x pipeline.GenerationFailure) bool {
		return f.Pattern.MatchString(x.Message)
	})
}

func anyItem(d pipeline.DeadLetter, items []int) bool {
	return slices.ContainsFunc(d.Failures, func(f pipeline.GenerationFailure) bool { return slices.Contains(items, f.Item) })
}

func anyClass(d pipeline.DeadLetter, classes []pipeline.Class) bool {
	return slices.Contains(classes, d.Class) || slices.ContainsFunc(d.Failures, func(f pipeline.GenerationFailure) bool {
		return slices.Contains(classes, f.Class)
	})
}

// A Disposition is what can be done with a dead letter, given the state of its batch.
type Disposition string

// The dispositions of a dead letter.
const (
	Waiting  Disposition = "waiting"   // its batch is dead: it can be redriven or dropped
	UnderWay Disposition = "under-way" // its batch is outstanding, in this round or a later one
	Stale    Disposition = "stale"     // all its generations are stored
	Dropped  Disposition = "dropped"   // its batch was dropped, and the letter is left over
	Orphaned Disposition = "orphaned"  // its run is gone, or was deleted and loaded again
	// Refused is a letter from a consumer that its batch was not handed to, or that is too old to
	// bring the token back. It explains nothing, so its batch gets another round.
	Refused Disposition = "refused"
	// Unreadable is a letter of which only run, batch and sequence are known. It explains
	// nothing, so its batch gets another round. Its message says what is wrong with it.
	Unreadable Disposition = "unreadable"
)

// A Letter is a dead letter with its present disposition.
type Letter struct {
	pipeline.StoredDeadLetter
	Disposition Disposition    `json:"disposition"`
	Rows        map[int]string `json:"rows,omitempty"` // by item: the id by which the user knows its row; the engine leaves it empty
	Owner       pipeline.Run   `json:"-"`              // its run; zero if it is orphaned
	Now         pipeline.Batch `json:"-"`              // its batch as the store has it; zero if it is orphaned
}

// MarshalJSON writes the disposition also as "standing", which was its name in the last release.
func (l Letter) MarshalJSON() ([]byte, error) {
	type plain Letter
	return json.Marshal(struct {
		plain
		Former Disposition `json:"standing"`
	}{plain(l), l.Disposition})
}

// dispositionOf judges a letter by its batch as the store has it.
func dispositionOf(d pipeline.DeadLetter, b pipeline.Batch) Disposition {
	stored := !slices.ContainsFunc(d.Failures, func(f pipeline.GenerationFailure) bool { return !slices.Contains(b.Done, f.Index) })
	switch {
	case stored || b.State == pipeline.Done:
		return Stale
	case b.State == pipeline.Dead:
		return Waiting
	case b.State == pipeline.Dropped:
		return Dropped
	}
	return UnderWay
}

const letterPage = 64 // letters held while their batches are read together; each may have 100 KiB and more

// Letters yields the chosen dead letters with their dispositions, oldest first. An error is the
// last thing that it yields.
func (e *Engine) Letters(ctx context.Context, filter Filter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		for letter, err := range e.allLetters(ctx, filter) {
			if err == nil && letter.orphaned() != filter.Orphaned {
				if filter.Others != nil {
					*filter.Others++
				}
				continue
			}
			if !yield(letter, err) {
				return
			}
		}
	}
}

// orphaned reports whether a letter has no batch that could be answered.
func (l Letter) orphaned() bool { return l.Disposition == Orphaned || l.Disposition == Unreadable }

// allLetters is Letters without regard to what is orphaned.
func (e *Engine) allLetters(ctx context.Context, filter Filter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		var page []pipeline.StoredDeadLetter
		flush := func() bool {
			letters, err := e.judge(ctx, page)
			page = page[:0]
			for _, letter := range letters {
				if !yield(letter, nil) {
					return false
				}
			}
			if err != nil {
				yield(Letter{}, err)
			}
			return err == nil
		}
		now := e.now()
		for d, err := range e.streams.DeadLetters(ctx, filter.Run) {
			if unreadable(err) {
				d.Message, err = err.Error(), nil
			}
			if err != nil {
				if flush() {
					yield(Letter{}, err)
				}
				return
			}
			if !filter.match(d.DeadLetter, now) {
				continue
			}
			if page = append(page, d); len(page) == letterPage && !flush() {
				return
			}
		}
		flush()
	}
}

// unreadable reports whether an error concerns a single letter, of which run, batch and sequence
// are known.
func unreadable(err error) bool { return err != nil && pipeline.ClassOf(err) == pipeline.BadItem }

// judge reads the runs and batches of letters.
func (e *Engine) judge(ctx context.Context, page []pipeline.StoredDeadLetter) ([]Letter, error) {
	indexes := map[string][]int{}
	for _, d := range page {
		indexes[d.Run] = append(indexes[d.Run], d.Batch)
	}
	runs, batches := map[string]pipeline.Run{}, map[string]pipeline.Batch{}
	for name, wanted := range indexes {
		run, err := e.store.Run(ctx, name)
		if errors.Is(err, pipeline.ErrNoRun) {
			continue
		}
		if err != nil {
			return nil, err
		}
		runs[name] = run
		found, err := e.store.BatchesAt(ctx, name, wanted)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			batches[b.ID()] = b
		}
	}
	letters := make([]Letter, 0, len(page))
	for _, d := range page {
		letter := Letter{StoredDeadLetter: d, Disposition: Orphaned}
		run, there := runs[d.Run]
		b, ok := batches[d.ID()]
		switch {
		case len(d.Failures) == 0: // every letter that can be read has some
			letter.Owner, letter.Now, letter.Disposition = run, b, Unreadable
		case ok && there && run.UID == d.UID:
			letter.Owner, letter.Now, letter.Disposition = run, b, dispositionOf(d.DeadLetter, b)
			if !d.IsOf(run) && letter.Disposition != Stale && letter.Disposition != Dropped {
				letter.Disposition = Refused
			}
		}
		letter.Token = nil // it is not for people
		letters = append(letters, letter)
	}
	return letters, nil
}

// Sweep deletes the dead letters of a run whose batch is done or dropped, by their sequence, and
// returns how many it deleted. A RunReconciler does this from time to time, and Unsettled at the
// end of a run.
func (e *Engine) Sweep(ctx context.Context, run string) (swept int, err error) {
	for letter, err := range e.allLetters(ctx, Filter{Run: run}) {
		if err != nil {
			return swept, err
		}
		if letter.Now.State != pipeline.Done && letter.Now.State != pipeline.Dropped {
			continue
		}
		if err := e.streams.DeleteDeadLetter(ctx, letter.Sequence); err != nil {
			return swept, err
		}
		swept++
	}
	return swept, nil
}
