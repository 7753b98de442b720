package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// A partsConfig says what is measured.
type partsConfig struct {
	dir     string
	mongoDB string // URI; empty: MongoDB is not measured
	quick   bool
	logf    func(string, ...any)
}

// measureParts measures NATS, the stores and JSON, each alone.
func measureParts(ctx context.Context, cfg partsConfig) ([]PartRate, error) {
	long := 3 * time.Second
	if cfg.quick {
		long = 50 * time.Millisecond
	}
	var parts []PartRate
	for _, always := range []bool{false, true} {
		cfg.logf("capacity: NATS alone, syncing %s", syncing(always))
		raw, err := rawNATS(ctx, filepath.Join(cfg.dir, "nats-"+syncing(always)), always, long)
		if err != nil {
			return nil, err
		}
		parts = append(parts, raw...)
	}
	for _, name := range storeNames() {
		part := PartRate{What: fmt.Sprintf("%s: bulk upserts of %s results", name, cli.Count(upsertsAtOnce)), Unit: "generations"}
		if uri := storeURI(name, cfg.dir, cfg.mongoDB); uri == "" {
			part.Note = notMeasured
		} else {
			cfg.logf("capacity: %s alone", name)
			var err error
			if part.PerSecond, err = rawUpserts(ctx, uri, cfg.quick); err != nil {
				return nil, err
			}
		}
		parts = append(parts, part)
	}
	coding, err := rawJSON(ctx, long)
	return append(parts, coding), err
}

// rawUpserts measures a store with writes of a thousand results, each with its batch.
func rawUpserts(ctx context.Context, uri string, quick bool) (perSecond float64, err error) {
	store, err := store.Open(ctx, uri)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	writes := 100
	if quick {
		writes = 2
	}
	run, remove, err := planned(ctx, store, writes*upsertsAtOnce, pipeline.Queued)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	return fill(ctx, store, run)
}

// fill writes an answer for every generation of a planned run and returns how many a second.
func fill(ctx context.Context, store store.Store, run pipeline.Run) (perSecond float64, err error) {
	model, took := newInstant(), time.Duration(0)
	for batch := 0; batch < run.Batches; {
		var messages []pipeline.Results
		for ; len(messages) < upsertsAtOnce/pipeline.DefaultBatch && batch < run.Batches; batch++ {
			messages = append(messages, model.results(run, plannedBatch(run, batch, pipeline.Queued)))
		}
		started := time.Now()
		if _, err := store.WriteResults(ctx, messages, time.Now()); err != nil {
			return 0, err
		}
		took += time.Since(started)
	}
	return rate(run.Generations, took), nil
}

// rawJSON measures one processor that writes and reads the two messages in which a batch travels.
func rawJSON(ctx context.Context, long time.Duration) (PartRate, error) {
	run := pipeline.Run{Name: "json", UID: "01J00000000000000000000000", Spec: spec(), Generations: pipeline.DefaultBatch}
	work := pipeline.Work{Run: run.Name, UID: run.UID, Round: 1, Model: run.Spec.Model, Options: run.Spec.Options}
	for i := range pipeline.DefaultBatch {
		work.Generations = append(work.Generations, pipeline.Generation{Index: i, Item: i, Seed: i, Messages: pipeline.User(prose(rand.New(rand.NewPCG(4, uint64(i))), questionBytes))})
	}
	results := newInstant().results(run, plannedBatch(run, 0, pipeline.Queued))
	perSecond, err := repeat(ctx, long, func() (int, error) {
		encodedWork, err := pipeline.Encode(work)
		if err == nil {
			_, err = pipeline.DecodeWork(encodedWork)
		}
		encodedResults, encodeErr := pipeline.Encode(results)
		if encodeErr == nil {
			_, encodeErr = pipeline.DecodeResults(encodedResults)
		}
		return pipeline.DefaultBatch, errors.Join(err, encodeErr)
	})
	return PartRate{What: "JSON on one core: both messages written and read", Unit: "generations", PerSecond: perSecond}, err
}
