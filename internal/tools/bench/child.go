package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/sink"
	"gleaner/internal/store"
)

// The files by which the steps pass on their results, and the run that they load.
const (
	inputFile = "rows.jsonl"
	storeFile = "gleaner.db"
	outFile   = "out.jsonl"
	childRun  = "load"
)

// childCmd is one step of load and export.
type childCmd struct {
	Step string `arg:"" enum:"load,fill,export"`
	Dir  string `required:""`
}

// A step does its part and returns how many rows it did.
type step = func(context.Context, store.Store) (int, error)

// A childOutcome is what a child prints for its parent.
type childOutcome struct {
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"`
	Peak    int     `json:"peak_bytes"`
}

func (c *childCmd) Run(ctx context.Context, t *cli.Terminal) (err error) {
	store, err := store.Open(ctx, "sqlite:"+filepath.Join(c.Dir, storeFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	do := map[string]step{"load": c.load, "fill": c.fill, "export": c.export}[c.Step]
	started := time.Now()
	rows, err := do(ctx, store)
	if err != nil {
		return err
	}
	return json.NewEncoder(t.Out).Encode(childOutcome{Rows: rows, Seconds: time.Since(started).Seconds(), Peak: peakBytes()})
}

func (c *childCmd) load(ctx context.Context, store store.Store) (int, error) {
	source, err := dataset.NewSource(dataset.SourceOptions{Inputs: []string{filepath.Join(c.Dir, inputFile)}})
	if err != nil {
		return 0, err
	}
	data := producer.Dataset{Name: source.Name(), Open: func() (producer.Rows, error) { return source.Open() }}
	preflight, err := producer.RunPreflight(ctx, childRun, spec(), data, nil)
	if err != nil {
		return 0, err
	}
	run, _, err := producer.Load(ctx, store, preflight, ulid.Make().String(), nil)
	return run.Items, err
}

// fill gives every batch its answers, as if it had been generated.
func (c *childCmd) fill(ctx context.Context, store store.Store) (int, error) {
	model, written := newInstant(), 0
	run, err := store.Run(ctx, childRun)
	if err != nil {
		return 0, err
	}
	for from := 0; from < run.Batches; {
		batches, err := store.Batches(ctx, childRun, pipeline.Planned, from, upsertsAtOnce/pipeline.DefaultBatch)
		if err != nil {
			return 0, err
		}
		if len(batches) == 0 {
			return 0, fmt.Errorf("batch %d is missing", from)
		}
		messages := make([]pipeline.Results, len(batches))
		for i, b := range batches {
			messages[i] = model.results(run, b)
		}
		w, err := store.WriteResults(ctx, messages, time.Now())
		if err != nil {
			return 0, err
		}
		written += w.New
		from = batches[len(batches)-1].Index + 1
	}
	return written, nil
}

func (c *childCmd) export(ctx context.Context, store store.Store) (int, error) {
	run, err := store.Run(ctx, childRun)
	if err != nil {
		return 0, err
	}
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return 0, err
	}
	config := export.Config{Out: filepath.Join(c.Dir, outFile)}
	names, err := export.SettleRun(config, run, func(first, count int) ([]pipeline.Item, error) { return store.Items(ctx, run.Name, first, count) })
	if err != nil {
		return 0, err
	}
	out, err := export.New(run, config, names, renderer)
	if err != nil {
		return 0, err
	}
	defer out.Abort()
	if err := sink.Export(ctx, store.Answers(ctx, run.Name), out, nil); err != nil {
		return 0, err
	}
	exported, err := out.Commit()
	return exported.Lines, err
}
