package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
)

const capacityName = "capacity"

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
	Parts     []PartRate    `json:"parts"`
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

// A capacityConfig says what is measured.
type capacityConfig struct {
	dir     string
	mongoDB string // URI; empty: MongoDB is not measured
	quick   bool
	logf    func(string, ...any)
}

func measureCapacity(ctx context.Context, cfg capacityConfig) (*Capacity, error) {
	k := &Capacity{
		What: capacityWhat, BatchSize: pipeline.DefaultBatch, Consumers: capacityConsumers,
		Workers: capacityConsumers * gpusPerConsumer * (gpuSlots + 2), Target: capacityTarget,
	}
	for _, always := range []bool{false, true} {
		for _, name := range storeNames() {
			r := CapacityRun{Store: name, Sync: syncing(always)}
			if storeURI(name, cfg.dir, cfg.mongoDB) == "" {
				r.Note = notMeasured
			} else {
				cfg.logf("capacity: %s, NATS syncing %s", name, r.Sync)
				if err := r.measureLongEnough(ctx, cfg, filepath.Join(cfg.dir, name+"-"+r.Sync)); err != nil {
					return nil, err
				}
			}
			k.Runs = append(k.Runs, r)
		}
	}
	var err error
	k.Parts, err = measureParts(ctx, partsConfig{dir: filepath.Join(cfg.dir, "parts"), mongoDB: cfg.mongoDB, quick: cfg.quick, logf: cfg.logf})
	return k, err
}

// measureLongEnough measures more and more generations until a run takes long enough.
func (r *CapacityRun) measureLongEnough(ctx context.Context, cfg capacityConfig, dir string) error {
	r.Generations = 4 * flushOf
	if cfg.quick {
		r.Generations = flushOf
	}
	for try := 0; ; try++ {
		here := filepath.Join(dir, fmt.Sprint(try))
		if err := r.measure(ctx, here, storeURI(r.Store, here, cfg.mongoDB)); err != nil {
			return err
		}
		if cfg.quick || r.Seconds >= capacityLasts.Seconds() {
			return nil
		}
		// The rate of a short run is less than that of a long one, so a third try may be needed.
		want := 1.2 * capacityLasts.Seconds() * r.PerSecond
		r.Generations = (int(want)/flushOf + 1) * flushOf
	}
}

// measure makes one run and fills in its figures.
func (r *CapacityRun) measure(ctx context.Context, dir, uri string) (err error) {
	b, err := newTestbed(ctx, testbedConfig{dir: dir, storeURI: uri, syncAlways: r.Sync == syncing(true)})
	if err != nil {
		return err
	}
	defer b.close()
	run, remove, err := planned(ctx, b.store, r.Generations, pipeline.Planned)
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
	o, err := b.generate(ctx, run, consumers)
	if err != nil {
		return err
	}
	took := o.stored.Sub(o.began)
	r.Seconds, r.PerSecond, r.Duplicate, r.Cores, r.waiting = took.Seconds(), rate(r.Generations, took), o.duplicate, o.cores, o.waiting
	return nil
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
			target = atLeast(r.PerSecond, k.Target)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%.1f s\t%d\t%.2f\t%.0f\t%.0f\t%.0f\t%s", r.Store, r.Sync, cli.Count(int(r.PerSecond)), cli.Count(r.Generations),
			r.Seconds, r.Duplicate, r.Cores, r.Batches, r.Held, r.Messages, target))
	}
	what := fmt.Sprintf("%s\nBatches of %d, questions of %d and answers of %d bytes, %d consumers with %d workers together.",
		k.What, k.BatchSize, questionBytes, answerBytes, k.Consumers, k.Workers)
	table(w, capacityName, what, "STORE\tNATS SYNC\tGENERATIONS/S\tGENERATIONS\tTIME\tTWICE\tCORES\tQUEUED\tHELD\tRESULTS\tTARGET", rows)
	printParts(w, k.Parts)
}
