package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// Of capacity.
const (
	capacityConsumers = 2
	capacityTarget    = 10_000           // generations a second, SQLite, default syncing
	capacityLasts     = 10 * time.Second // at least
	flushOf           = 1024             // generations in a full write of the sink; runs are multiples of it
)

// A Capacity is how many generations a second the pipeline moves when the model takes no time,
// and what its parts can do alone.
type Capacity struct {
	What      string        `json:"what"`
	BatchSize int           `json:"batch_size"`
	Consumers int           `json:"consumers"`
	Workers   int           `json:"workers"` // of all consumers
	Target    float64       `json:"target"`  // for SQLite with the default syncing
	Runs      []CapacityRun `json:"runs"`
	Parts     []Part        `json:"parts"`
}

// A CapacityRun is one run through everything.
type CapacityRun struct {
	Store       string  `json:"store"`
	Sync        string  `json:"nats_sync"` // "default" or "always"
	Generations int     `json:"generations"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"generations_per_second"`
	Duplicate   int     `json:"duplicate"`
	Cores       float64 `json:"cores"`
	waiting
	Note string `json:"note,omitempty"` // why nothing was measured
}

const capacityWhat = "Generations per second from the store through producer, NATS on TCP, consumers, NATS and sink back into the store, in one process,\n" +
	"with a model that answers at once. Queued: batches that wait for a worker; held: those that workers have; results: messages for the sink;\n" +
	"all on average: where they pile up, those behind are the slowest. The parts alone, below it, had the same machine to themselves."

const notMeasured = "not measured: no MONGODB_URI"

// storeNames are the stores that are measured.
func storeNames() []string { return []string{"sqlite", "mongodb"} }

// storeURI returns where a store is, with its files in dir if it has any, or "" if there is none
// to be measured.
func (c *runCmd) storeURI(name, dir string) string {
	switch {
	case name == "sqlite":
		return "sqlite:" + filepath.Join(dir, "gleaner.db")
	case strings.HasPrefix(c.MongoDB, "mongodb"):
		return c.MongoDB
	}
	return ""
}

// syncing names NATS' two ways to bring messages to the disk: within two minutes, or before they
// are confirmed.
func syncing(always bool) string {
	if always {
		return "always"
	}
	return "default"
}

func (c *runCmd) capacity(ctx context.Context, dir string, say func(string, ...any)) (*Capacity, error) {
	k := &Capacity{
		What: capacityWhat, BatchSize: pipeline.DefaultBatch, Consumers: capacityConsumers,
		Workers: capacityConsumers * gpusPerConsumer * (gpuSlots + 2), Target: capacityTarget,
	}
	for _, always := range []bool{false, true} {
		for _, name := range storeNames() {
			r := CapacityRun{Store: name, Sync: syncing(always)}
			if c.storeURI(name, dir) == "" {
				r.Note = notMeasured
			} else {
				say("capacity: %s, NATS syncing %s", name, r.Sync)
				if err := c.longEnough(ctx, filepath.Join(dir, name+"-"+r.Sync), &r); err != nil {
					return nil, err
				}
			}
			k.Runs = append(k.Runs, r)
		}
	}
	var err error
	k.Parts, err = c.parts(ctx, filepath.Join(dir, "parts"), say)
	return k, err
}

// longEnough measures more and more generations until that takes long enough.
func (c *runCmd) longEnough(ctx context.Context, dir string, r *CapacityRun) error {
	r.Generations = 4 * flushOf
	if c.Quick {
		r.Generations = flushOf
	}
	for try := 0; ; try++ {
		here := filepath.Join(dir, fmt.Sprint(try))
		if err := r.measure(ctx, here, c.storeURI(r.Store, here)); err != nil {
			return err
		}
		if c.Quick || r.Seconds >= capacityLasts.Seconds() {
			return nil
		}
		// The rate of a short run is less than that of a long one, so a third try may be needed.
		want := 1.2 * capacityLasts.Seconds() * r.PerSecond
		r.Generations = (int(want)/flushOf + 1) * flushOf
	}
}

// measure makes one run and fills in what it comes to.
func (r *CapacityRun) measure(ctx context.Context, dir, uri string) (err error) {
	p, err := newPlant(ctx, plantConfig{dir: dir, store: uri, syncAlways: r.Sync == syncing(true)})
	if err != nil {
		return err
	}
	defer p.close()
	run, remove, err := planned(ctx, p.ledger, r.Generations, pipeline.Planned)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	var consumers [][]consumer.LaneConfig
	for i := range capacityConsumers {
		var gpus []consumer.LaneConfig
		for j := range gpusPerConsumer {
			gpus = append(gpus, consumer.LaneConfig{Name: fmt.Sprintf("instant GPU %d.%d", i, j), Backend: newInstant(), Slots: gpuSlots})
		}
		consumers = append(consumers, gpus)
	}
	o, err := p.generate(ctx, run, consumers)
	if err != nil {
		return err
	}
	took := o.stored.Sub(o.began)
	r.Seconds, r.PerSecond, r.Duplicate, r.Cores, r.waiting = took.Seconds(), rate(r.Generations, took), o.duplicate, o.cores, o.waiting
	return nil
}

// planned writes a run whose batches all have the same size and are in this state, ready to be
// published. Remove deletes it again.
func planned(ctx context.Context, ledger store.Store, generations int, state pipeline.BatchState) (run pipeline.Run, remove func() error, err error) {
	id := ulid.Make().String()
	run = pipeline.Run{
		Name: "bench-" + strings.ToLower(id), UID: id, Spec: spec(), State: pipeline.RunLoading, Items: generations, Generations: generations, CreatedAt: time.Now().UTC(),
	}
	if _, _, err := ledger.CreateRun(ctx, run); err != nil {
		return run, nil, err
	}
	remove = func() error { return ledger.DeleteRun(context.WithoutCancel(ctx), run.Name, nil) }
	var items []pipeline.Item
	var batches []pipeline.Batch
	for seq := range generations {
		items = append(items, pipeline.Item{Run: run.Name, Seq: seq, Input: row(seq)})
		if seq%pipeline.DefaultBatch == 0 {
			batches = append(batches, plannedBatch(run, seq/pipeline.DefaultBatch, state))
		}
		if len(items) == store.LoadChunk || seq == generations-1 {
			if err := errors.Join(ledger.PutItems(ctx, items), ledger.PutBatches(ctx, batches)); err != nil {
				return run, nil, errors.Join(err, remove())
			}
			items, batches = items[:0], batches[:0]
		}
	}
	run.State, run.Batches = pipeline.RunOpen, (generations+pipeline.DefaultBatch-1)/pipeline.DefaultBatch
	if err := ledger.Seal(ctx, run.Name, run.Batches); err != nil {
		return run, nil, errors.Join(err, remove())
	}
	return run, remove, nil
}

// instant is a model that answers at once with one of some texts.
type instant struct{ texts []string }

func newInstant() *instant {
	m := &instant{}
	for i := range 64 {
		m.texts = append(m.texts, text(rand.New(rand.NewPCG(2, uint64(i))), answerBytes))
	}
	return m
}

func (m *instant) Generate(_ context.Context, request pipeline.Request) (pipeline.Completion, error) {
	return pipeline.Completion{
		Text: m.texts[request.Seed%len(m.texts)], Finish: "stop", PromptTokens: tokensOf(len(request.Prompt())), OutputTokens: tokensOf(answerBytes),
	}, nil
}

// results returns the answers to a batch of a run with one sample.
func (m *instant) results(run pipeline.Run, b pipeline.Batch) pipeline.Results {
	results := pipeline.Results{Run: run.Name, UID: run.UID, Batch: b.Index, Round: b.Round, Consumer: run.UID, GPU: "instant GPU 0.0"}
	for i := range b.Count {
		item := b.First + i
		results.Results = append(results.Results, pipeline.Result{
			Index: i, Item: item, Text: m.texts[item%len(m.texts)], Finish: "stop", PromptTokens: tokensOf(questionBytes),
			OutputTokens: tokensOf(answerBytes), DurationMS: 8000, CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
		})
	}
	return results
}

// plannedBatch returns a batch of a run of which all have the same size, but for the last one.
func plannedBatch(run pipeline.Run, index int, state pipeline.BatchState) pipeline.Batch {
	first := index * pipeline.DefaultBatch
	return pipeline.Batch{Run: run.Name, Index: index, First: first, Count: min(pipeline.DefaultBatch, run.Generations-first), State: state, Round: 1}
}

func (k *Capacity) print(w io.Writer) {
	var rows []string
	for _, r := range k.Runs {
		if r.Note != "" {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t\t\t\t\t\t\t\t", r.Store, r.Sync, r.Note))
			continue
		}
		target := ""
		if r.Store == "sqlite" && r.Sync == "default" {
			target = verdict(r.PerSecond, k.Target)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%.1f s\t%d\t%.2f\t%.0f\t%.0f\t%.0f\t%s", r.Store, r.Sync, cli.Count(int(r.PerSecond)), cli.Count(r.Generations),
			r.Seconds, r.Duplicate, r.Cores, r.Batches, r.Held, r.Messages, target))
	}
	what := fmt.Sprintf("%s\nBatches of %d, questions of %d and answers of %d bytes, %d consumers with %d workers together.",
		k.What, k.BatchSize, questionBytes, answerBytes, k.Consumers, k.Workers)
	table(w, capacityName, what, "STORE\tNATS SYNC\tGENERATIONS/S\tGENERATIONS\tTIME\tTWICE\tCORES\tQUEUED\tHELD\tRESULTS\tTARGET", rows)
	printParts(w, k.Parts)
}
