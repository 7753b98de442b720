package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"text/tabwriter"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// A Part is what one part can do alone.
type Part struct {
	What      string  `json:"what"`
	Unit      string  `json:"unit"`
	PerSecond float64 `json:"per_second"`
	Note      string  `json:"note,omitempty"` // why nothing was measured
}

// upsertsAtOnce is how many results are written in one call, as by a sink that is busy.
const upsertsAtOnce = 1000

// parts measures NATS, the stores and JSON, each alone.
func (c *runCmd) parts(ctx context.Context, dir string, say func(string, ...any)) ([]Part, error) {
	long := 3 * time.Second
	if c.Quick {
		long = 50 * time.Millisecond
	}
	var parts []Part
	for _, always := range []bool{false, true} {
		say("capacity: NATS alone, syncing %s", syncing(always))
		raw, err := rawNATS(ctx, filepath.Join(dir, "nats-"+syncing(always)), always, long)
		if err != nil {
			return nil, err
		}
		parts = append(parts, raw...)
	}
	for _, name := range storeNames() {
		part := Part{What: fmt.Sprintf("%s: bulk upserts of %s results", name, view.Count(upsertsAtOnce)), Unit: "generations"}
		if uri := c.storeURI(name, dir); uri == "" {
			part.Note = notMeasured
		} else {
			say("capacity: %s alone", name)
			var err error
			if part.PerSecond, err = rawUpserts(ctx, uri, c.Quick); err != nil {
				return nil, err
			}
		}
		parts = append(parts, part)
	}
	coding, err := rawJSON(ctx, long)
	return append(parts, coding), err
}

// repeat calls f, which returns how much it did, until the time is over, and returns how much it
// did a second.
func repeat(ctx context.Context, long time.Duration, f func() (int, error)) (float64, error) {
	started, sum := time.Now(), 0
	for time.Since(started) < long {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := f()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return rate(sum, time.Since(started)), nil
}

// rawUpserts measures a store with writes of a thousand results, each with its batch.
func rawUpserts(ctx context.Context, uri string, quick bool) (perSecond float64, err error) {
	ledger, err := store.Open(ctx, uri)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	writes := 100
	if quick {
		writes = 2
	}
	run, remove, err := planned(ctx, ledger, writes*upsertsAtOnce, pipeline.Queued)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	return fill(ctx, ledger, run)
}

// fill writes an answer for every generation of a planned run and returns how many a second.
func fill(ctx context.Context, ledger store.Store, run pipeline.Run) (perSecond float64, err error) {
	model, took := newInstant(), time.Duration(0)
	for batch := 0; batch < run.Batches; {
		var messages []pipeline.Results
		for ; len(messages) < upsertsAtOnce/pipeline.DefaultBatch && batch < run.Batches; batch++ {
			messages = append(messages, model.results(run, plannedBatch(run, batch, pipeline.Queued)))
		}
		started := time.Now()
		if _, err := ledger.WriteResults(ctx, messages, time.Now()); err != nil {
			return 0, err
		}
		took += time.Since(started)
	}
	return rate(run.Generations, took), nil
}

// rawJSON measures one processor that writes and reads the two messages in which a batch travels.
func rawJSON(ctx context.Context, long time.Duration) (Part, error) {
	run := pipeline.Run{Name: "json", UID: "01J00000000000000000000000", Spec: spec(), Generations: pipeline.DefaultBatch}
	work := pipeline.Work{Run: run.Name, UID: run.UID, Round: 1, Model: run.Spec.Model, Options: run.Spec.Options}
	for i := range pipeline.DefaultBatch {
		work.Generations = append(work.Generations, pipeline.Generation{Index: i, Item: i, Seed: i, Messages: pipeline.User(text(rand.New(rand.NewPCG(4, uint64(i))), questionBytes))})
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
	return Part{What: "JSON on one core: both messages written and read", Unit: "generations", PerSecond: perSecond}, err
}

func printParts(w io.Writer, parts []Part) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nONE PART ALONE\tPER SECOND\t")
	for _, p := range parts {
		figure := view.Count(int(p.PerSecond)) + " " + p.Unit
		if p.Note != "" {
			figure = p.Note
		}
		fmt.Fprintf(t, "%s\t%s\t\n", p.What, figure)
	}
	_ = t.Flush() // as in table
}
