package sink

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"gleaner/internal/pipeline"
)

// A LetterReader reads dead letters.
type LetterReader interface {
	// DeadLetters yields those of a run. Of one that cannot be read it yields a BadItem failure, and
	// goes on.
	DeadLetters(ctx context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error]
	// DeadLetter returns that of a batch, and whether there is one.
	DeadLetter(ctx context.Context, run string, batch int) (pipeline.StoredDeadLetter, bool, error)
}

// WithFailures returns the answers of a run, and of those that are missing why, as far as dead
// letters say it. The letters may hold many texts, so they are read twice: first for which
// generations they are about, of which 16 bytes are kept for each, and then one by one where their
// batches come. What is published or removed in between is left out.
func WithFailures(ctx context.Context, run pipeline.Run, answers iter.Seq2[pipeline.Answer, error], letters LetterReader) iter.Seq2[pipeline.Answer, error] {
	return func(yield func(pipeline.Answer, error) bool) {
		f := failures{run: run, letters: letters}
		if err := f.index(ctx); err != nil {
			yield(pipeline.Answer{}, err)
			return
		}
		for answer, err := range answers {
			if err == nil && answer.Result == nil {
				answer.Failure, err = f.of(ctx, answer.Item, answer.Sample)
			}
			if !yield(answer, err) {
				return
			}
		}
	}
}

// failures finds the failure of a generation.
type failures struct {
	run     pipeline.Run
	letters LetterReader
	where   []failedAt // ascending
	batch   int        // of the letter that was read last, which the next generation is likely to need
	last    []pipeline.GenerationFailure
}

// A failedAt is a generation, as its number in the run, and the batch of its letter.
type failedAt struct{ generation, batch int }

func (f *failures) number(item, sample int) int { return item*f.run.Spec.Samples + sample }

// index reads all letters for which generations they are about.
func (f *failures) index(ctx context.Context) error {
	for letter, err := range f.letters.DeadLetters(ctx, f.run.Name) {
		switch {
		case err != nil && pipeline.ClassOf(err) == pipeline.BadItem:
			continue // says nothing that could be exported
		case err != nil:
			return err
		case !letter.IsOf(f.run):
			continue // of an earlier run of this name, or without its token
		}
		for _, failure := range letter.Failures {
			f.where = append(f.where, failedAt{f.number(failure.Item, failure.Sample), letter.Batch})
		}
	}
	slices.SortFunc(f.where, func(a, b failedAt) int { return cmp.Compare(a.generation, b.generation) })
	f.batch = -1
	return nil
}

// of returns why a generation failed, or nil if no letter says it.
func (f *failures) of(ctx context.Context, item, sample int) (*pipeline.GenerationFailure, error) {
	i, found := slices.BinarySearchFunc(f.where, f.number(item, sample), func(at failedAt, generation int) int { return cmp.Compare(at.generation, generation) })
	if !found {
		return nil, nil
	}
	if batch := f.where[i].batch; batch != f.batch {
		letter, there, err := f.letters.DeadLetter(ctx, f.run.Name, batch)
		switch {
		case err != nil && pipeline.ClassOf(err) != pipeline.BadItem:
			return nil, fmt.Errorf("why generation %s failed: %w", pipeline.GenerationID(f.run.Name, item, sample), err)
		case err != nil || !there || !letter.IsOf(f.run): // it was replaced or removed meanwhile
			letter.Failures = nil
		}
		f.batch, f.last = batch, letter.Failures
	}
	for i, failure := range f.last {
		if failure.Item == item && failure.Sample == sample {
			return &f.last[i], nil
		}
	}
	return nil, nil
}
