package command

import (
	"context"
	"errors"
	"slices"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/text"
)

// A helpful store says of a run that it does not have which one may be meant.
type helpful struct{ store.Store }

func (h helpful) Run(ctx context.Context, name string) (pipeline.Run, error) {
	run, err := h.Store.Run(ctx, name)
	if !errors.Is(err, pipeline.ErrNoRun) {
		return run, err
	}
	runs, asked := h.Store.Runs(ctx)
	if asked != nil {
		return run, err
	}
	var names []string
	for _, r := range runs {
		names = append(names, r.Name)
	}
	return run, cli.Usage("%w%s", err, text.DidYouMean(name, names))
}

// hasBatches returns an error that names the first of these batches that a run does not have.
func hasBatches(run pipeline.Run, batches []int) error {
	if i := slices.IndexFunc(batches, func(b int) bool { return b < 0 || b >= run.Batches }); i >= 0 {
		return cli.Usage("batch %d: run %s has batches 0 to %d", batches[i], run.Name, run.Batches-1)
	}
	return nil
}
