package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/command"
	"gleaner/internal/dataset"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
	"gleaner/internal/store"
)

// The steps of a dataset's way through Gleaner, each of which a child does alone.
const (
	stepRead   = "read"   // its rows
	stepCheck  = "check"  // reads, checks and renders all rows: load --dry-run
	stepLoad   = "load"   // into the store
	stepFill   = "fill"   // the store with an answer for each row
	stepExport = "export" // the rows with their answers
	stepRender = "render" // the prompt of rows in memory
)

// formatsPrompt is the prompt of the rows, as people write it for GSM8K.
const formatsPrompt = "Solve: {{ question }}\nThink step by step."

// childCmd is one step, in a process of its own.
type childCmd struct {
	Step   string `arg:"" enum:"read,check,load,fill,export,render"`
	Dir    string // in which the files are
	Format string // of the file that is read or written
	Store  string
	Name   string `name:"run"`
	Rows   int    // that are rendered
}

// A childOutcome is what a child prints for its parent.
type childOutcome struct {
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Peak    int     `json:"peak_bytes"`        // of the process's memory (VmHWM); 0 = not known on this system
	Version string  `json:"version,omitempty"` // of a library of Python
}

func (c *childCmd) Run(ctx context.Context, t *cli.Terminal) error {
	do := map[string]func(context.Context) (int, error){
		stepRead: c.read, stepCheck: c.check, stepLoad: c.load, stepFill: c.fill, stepExport: c.export, stepRender: c.render,
	}[c.Step]
	started, used := time.Now(), cpuTime()
	rows, err := do(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(t.Out).Encode(childOutcome{
		Rows: rows, Seconds: time.Since(started).Seconds(), CPU: (cpuTime() - used).Seconds(), Peak: peakBytes(),
	})
}

func (c *childCmd) input() string { return filepath.Join(c.Dir, "rows."+c.Format) }

func (c *childCmd) read(context.Context) (n int, err error) {
	rows, err := dataset.Open(c.input())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		if _, err := rows.Next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

func (c *childCmd) check(ctx context.Context) (int, error) { return c.loadRun(ctx, "--dry-run") }

func (c *childCmd) load(ctx context.Context) (int, error) { return c.loadRun(ctx) }

func (c *childCmd) loadRun(ctx context.Context, more ...string) (int, error) {
	var run pipeline.Run
	err := program(ctx, &run, append([]string{
		"load", "--json", "--store", c.Store, "--run", c.Name, "--input", c.input(), "--model", "bench", "--prompt", formatsPrompt,
	}, more...)...)
	return run.Items, err
}

func (c *childCmd) export(ctx context.Context) (int, error) {
	var exported export.Tally
	err := program(ctx, &exported, "export", "--json", "--store", c.Store, "--run", c.Name, "--out", filepath.Join(c.Dir, "out."+c.Format))
	return exported.Lines, err
}

// program runs a command as the programs have it, and reads the summary that it prints.
func program(ctx context.Context, summary any, args ...string) error {
	var commands struct {
		Load   command.LoadRun `cmd:""`
		Export command.Export  `cmd:""`
	}
	var out, said bytes.Buffer
	if code := cli.Run(ctx, "bench", description, &commands, args, &cli.Terminal{In: new(bytes.Buffer), Out: &out, Err: &said}); code != cli.Done {
		return fmt.Errorf("%s ended with %d: %s", args[0], code, said.String())
	}
	return json.Unmarshal(out.Bytes(), summary)
}

// fill gives every batch its answers, as if it had been generated.
func (c *childCmd) fill(ctx context.Context) (written int, err error) {
	store, err := store.Open(ctx, c.Store)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	run, err := store.Run(ctx, c.Name)
	if err != nil {
		return 0, err
	}
	model := newInstant()
	for from := 0; from < run.Batches; {
		batches, err := store.Batches(ctx, run.Name, pipeline.Planned, from, upsertsAtOnce/pipeline.DefaultBatch)
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

// render makes the prompts of rows that are made beforehand, again and again.
func (c *childCmd) render(context.Context) (int, error) {
	renderer, err := prompt.New(prompt.Begin(pipeline.Spec{Model: "bench", Prompt: formatsPrompt, Samples: 1, Batch: 1}, false, false))
	if err != nil {
		return 0, err
	}
	made := make([][]byte, min(c.Rows, 1000))
	for i := range made {
		made[i] = row(i)
	}
	for i := range c.Rows {
		if _, err := renderer.Request(made[i%len(made)]); err != nil {
			return i, err
		}
	}
	return c.Rows, nil
}
