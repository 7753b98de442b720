package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"time"

	"gleaner/internal/cli"
)

// A Report is everything that was measured; a benchmark that was not asked for is nil.
type Report struct {
	Machine  Machine       `json:"machine"`
	Quick    bool          `json:"quick,omitempty"` // then the figures mean nothing
	KeepBusy *KeepBusy     `json:"keep_busy,omitempty"`
	Command  *WholeCommand `json:"command,omitempty"`
	Capacity *Capacity     `json:"capacity,omitempty"`
	Formats  *Formats      `json:"formats,omitempty"`
	Idle     *Idle         `json:"idle,omitempty"`
}

// runCmd is the command that measures.
type runCmd struct {
	Only       []string      `enum:"keep-busy,command,capacity,formats,idle" default:"keep-busy,command,capacity,formats,idle" help:"What is measured."`
	Out        string        `default:"bench.json" placeholder:"FILE" help:"Where the figures go as JSON."`
	Lengths    string        `placeholder:"FILE" help:"JSON Lines whose column answer gives the lengths of the answers for keep-busy and command, such as GSM8K's train.jsonl. Default: lengths distributed as GSM8K's."`
	GPUs       []int         `name:"gpus" default:"2,20" help:"Numbers of GPUs for keep-busy."`
	Speedup    float64       `placeholder:"X" help:"How many times faster than in reality time runs in keep-busy and command. Default: for command 1; for keep-busy 25 with fewer than 20 GPUs, else 5: with 1, 20 GPUs take 5 minutes and 2 take 43, each twice."`
	Programs   string        `placeholder:"DIR" help:"Folder with gleaner, producer, consumer and sink, for command. Default: they are built from this checkout."`
	MongoDB    string        `name:"mongodb" env:"MONGODB_URI" placeholder:"URI" help:"MongoDB to measure besides SQLite. Runs named bench-… are written there and removed."`
	Rows       int           `default:"1000000" help:"Rows for formats."`
	Python     string        `env:"LOADERS_TEST_PYTHON" placeholder:"PATH" help:"Python with pandas, polars and DuckDB, which formats measures on the same files. .ci/loaders.sh makes one."`
	Dir        string        `placeholder:"DIR" help:"Folder for what is written meanwhile. Syncing to the disk is part of the figures, so it matters which disk that is. Default: the system's temporary folder."`
	Idle       time.Duration `default:"10m" help:"How long the traffic of programs without work is measured, after 5 minutes in which they settle. The periods of all that they do fit into 6 minutes."`
	Quick      bool          `help:"A small version of everything, to see that it works. Its figures mean nothing."`
	CPUProfile string        `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile of this process."`
}

func (c *runCmd) Run(ctx context.Context, t *cli.Terminal) (err error) {
	if c.Speedup < 0 || c.Rows < 1 || c.Idle <= 0 || len(c.GPUs) > 0 && slices.Min(c.GPUs) < 1 {
		return cli.Usage("speedup, rows, gpus and idle have to be positive")
	}
	dir, err := os.MkdirTemp(c.Dir, "gleaner-bench-*")
	if err != nil {
		return fmt.Errorf("the folder for the measurements: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.CPUProfile != "" {
		stop, err := profile(c.CPUProfile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	report := Report{Machine: thisMachine(), Quick: c.Quick}
	fmt.Fprintln(t.Out, report.Machine)
	if err := c.measure(ctx, t, dir, &report); err != nil {
		return err
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	fmt.Fprintf(t.Err, "the figures are in %s\n", c.Out)
	return nil
}

// measure runs what was asked for, one after the other, and prints each table when it is complete.
func (c *runCmd) measure(ctx context.Context, t *cli.Terminal, dir string, report *Report) (err error) {
	logf := func(format string, args ...any) { fmt.Fprintf(t.Err, format+"\n", args...) }
	sub := func(name string) string { return filepath.Join(dir, name) }
	if slices.Contains(c.Only, keepBusyName) {
		if report.KeepBusy, err = measureKeepBusy(ctx, keepBusyConfig{
			dir: sub(keepBusyName), lengths: c.Lengths, gpus: c.GPUs, speedup: c.Speedup, quick: c.Quick, logf: logf,
		}); err != nil {
			return fmt.Errorf("%s: %w", keepBusyName, err)
		}
		report.KeepBusy.print(t.Out)
	}
	if slices.Contains(c.Only, commandName) {
		if report.Command, err = measureCommand(ctx, commandConfig{
			dir: sub(commandName), programs: c.Programs, lengths: c.Lengths, speedup: c.Speedup, quick: c.Quick, logf: logf,
		}); err != nil {
			return fmt.Errorf("%s: %w", commandName, err)
		}
		report.Command.print(t.Out)
	}
	if slices.Contains(c.Only, capacityName) {
		if report.Capacity, err = measureCapacity(ctx, capacityConfig{dir: sub(capacityName), mongoDB: c.MongoDB, quick: c.Quick, logf: logf}); err != nil {
			return fmt.Errorf("%s: %w", capacityName, err)
		}
		report.Capacity.print(t.Out)
	}
	if slices.Contains(c.Only, formatsName) {
		rows := c.Rows
		if c.Quick {
			rows = min(rows, 5000)
		}
		if report.Formats, err = measureFormats(ctx, formatsConfig{
			dir: sub(formatsName), rows: rows, mongoDB: c.MongoDB, python: c.Python, logf: logf,
		}); err != nil {
			return fmt.Errorf("%s: %w", formatsName, err)
		}
		report.Formats.print(t.Out)
	}
	if slices.Contains(c.Only, idleName) {
		if report.Idle, err = measureIdle(ctx, sub(idleName), c.Idle, c.Quick, logf); err != nil {
			return fmt.Errorf("%s: %w", idleName, err)
		}
		report.Idle.print(t.Out)
	}
	return nil
}

// profile writes a CPU profile until stop is called.
func profile(path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("the CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("the CPU profile: %w", err), f.Close())
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}
