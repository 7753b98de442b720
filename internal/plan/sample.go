package plan

import (
	"context"
	"fmt"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

const (
	// sampleBatches is how many batches of a run are weighed: more do not improve the estimate.
	sampleBatches = 2000
	// sampleAnswers is how many stored answers an estimate takes its lengths from.
	sampleAnswers = 500
)

// AnswerSampler is the part of the store that samples of answers come from.
type AnswerSampler interface {
	SampleAnswers(ctx context.Context, run string, count int, random bool) ([]pipeline.Answer, error)
}

// RowReader is the part of the store that the rows of a run are read from.
type RowReader interface {
	Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error)
}

// RunReader is the part of the store that a loaded run is read from.
type RunReader interface {
	AnswerSampler
	RowReader
	BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error)
}

// A CutFunc cuts a dataset into batches and hands out the messages of those for which take returns
// true. It returns how many batches there are.
type CutFunc func(ctx context.Context, take func(batch int) bool, do func(pipeline.Work) error) (batches int, err error)

// EstimateDataset returns what a run of a dataset would cost that is not loaded. It cuts the
// dataset once to count the batches, so the Config's run needs no number of them, and once to weigh
// some. The store may be nil if Config.Like is empty.
func EstimateDataset(ctx context.Context, cfg Config, meters Meters, store AnswerSampler, cut CutFunc) (Estimate, error) {
	var err error
	if cfg.Run.Batches, err = cut(ctx, func(int) bool { return false }, nil); err != nil {
		return Estimate{}, err
	}
	planner, err := newFromAnswers(ctx, cfg, meters, store, cfg.Like)
	if err != nil {
		return Estimate{}, err
	}
	step := stepOf(cfg.Run)
	if _, err := cut(ctx, func(batch int) bool { return batch%step == 0 }, planner.Weigh); err != nil {
		return Estimate{}, err
	}
	return planner.Estimate()
}

// EstimateRun returns what a loaded run costs. It takes lengths and times from the run's own
// answers if Config.Like is empty, and finds out Config.RowBytes by itself. NewBuild returns the
// BuildFunc of the run that reads these rows.
func EstimateRun(ctx context.Context, cfg Config, meters Meters, store RunReader, newBuild func(RowReader) (pipeline.BuildFunc, error)) (Estimate, error) {
	run := cfg.Run
	if run.State == pipeline.RunLoading || run.Batches == 0 {
		return Estimate{}, fmt.Errorf("run %s is not loaded completely: repeat `%s` with its flags, or plan its dataset with --input", run.Name, advice.Command("load", "--run", run.Name))
	}
	rows := &rowCounter{store: store}
	build, err := newBuild(rows)
	if err != nil {
		return Estimate{}, err
	}
	works, err := sampleOf(ctx, cfg, store, build)
	if err != nil {
		return Estimate{}, err
	}
	cfg.RowBytes = float64(rows.bytes) / float64(max(1, rows.rows))
	like := cfg.Like
	if like == "" {
		like = run.Name
	}
	planner, err := newFromAnswers(ctx, cfg, meters, store, like)
	if err != nil {
		return Estimate{}, err
	}
	for _, work := range works {
		if err := planner.Weigh(work); err != nil {
			return Estimate{}, err
		}
	}
	return planner.Estimate()
}

// newFromAnswers returns a planner that takes lengths and times from the answers of the run like,
// if that is not empty. The run in Config.Like has to have answers.
func newFromAnswers(ctx context.Context, cfg Config, meters Meters, store AnswerSampler, like string) (*Planner, error) {
	if like != "" {
		sample, err := store.SampleAnswers(ctx, like, sampleAnswers, true)
		if err != nil {
			return nil, err
		}
		for _, a := range sample {
			cfg.Answers = append(cfg.Answers, *a.Result)
		}
	}
	if cfg.Like != "" && len(cfg.Answers) == 0 {
		return nil, fmt.Errorf("run %s has no answers yet: let some be generated, or plan without --like", cfg.Like)
	}
	return New(cfg, meters)
}

// stepOf returns the distance between two batches of a run that are weighed.
func stepOf(run pipeline.Run) int { return max(1, run.Batches/sampleBatches) }

// sampleOf returns messages of a run as they are in their first round.
func sampleOf(ctx context.Context, cfg Config, store RunReader, build pipeline.BuildFunc) ([]pipeline.Work, error) {
	run, works := cfg.Run, []pipeline.Work(nil)
	for at, step := 0, stepOf(run); at < run.Batches; at += step {
		batches, err := store.BatchesAt(ctx, run.Name, []int{at})
		if err != nil {
			return nil, err
		}
		if len(batches) == 0 {
			return nil, fmt.Errorf("batch %s is missing in the store", pipeline.BatchID(run.Name, at))
		}
		for i := range batches {
			batches[i].Done, batches[i].Round = nil, 1
		}
		w, err := build(ctx, batches)
		if err != nil {
			return nil, err
		}
		works = append(works, w...)
		if cfg.Sampled != nil {
			cfg.Sampled(at/step+1, (run.Batches+step-1)/step)
		}
	}
	return works, nil
}

// A rowCounter counts the rows that are read through it.
type rowCounter struct {
	store       RowReader
	rows, bytes int
}

func (c *rowCounter) Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error) {
	items, err := c.store.Items(ctx, run, first, count)
	for _, i := range items {
		c.rows++
		c.bytes += len(i.Input)
	}
	return items, err
}
