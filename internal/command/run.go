package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/export"
	"gleaner/internal/folder"
	"gleaner/internal/local"
	"gleaner/internal/producer"
	"gleaner/internal/status"
	"gleaner/internal/view"
)

// RunLocal is the command run: everything on this machine, from the rows to the exported file.
type RunLocal struct {
	cli.SpecFlags     `embed:""`
	cli.LogFlags      `embed:""`
	cli.ProgressFlags `embed:""`
	cli.PatienceFlags `embed:""`
	cli.ServerFlags   `embed:""`
	cli.EndFlags      `embed:""`
	ExportFlags       `embed:""`
	Name              string    `name:"run" placeholder:"NAME" help:"Name of the run. Default: made from the dataset's name and what is asked for, so that another prompt is another run."`
	Data              string    `default:"gleaner-data" path:"file" placeholder:"DIR" help:"Folder for the store and the queue. With the same folder an interrupted run goes on."`
	Out               string    `path:"file" placeholder:"FILE" help:"Where the dataset goes. The end of the name says the format: .jsonl, .json, .csv, .tsv (each also .gz or .zst), .parquet; DIR/ is a folder of Parquet with a card, hf://datasets/ME/NAME pushes such a folder to the hub; - is JSON Lines on standard output. Default: DIR/RUN.jsonl."`
	Slots             cli.Slots `placeholder:"N|auto" help:"Generations at a time on each GPU. Default: auto, the number with the most tokens a second, found at work, at most OLLAMA_NUM_PARALLEL if that is set, else 16; 8 on simulated GPUs."`
	SimGPUs           int       `name:"sim-gpus" default:"2" help:"Simulated GPUs."`
	SimSpeed          float64   `name:"sim-speed" default:"10" help:"How many times faster than a T4 the simulated GPUs are."`
	MaxBytes          cli.Size  `env:"GLEANER_MAX_BYTES" placeholder:"SIZE" help:"Room for the queue in the folder, such as 64MiB. Default: what the dataset needs, at most 1GiB and two thirds of what is free."`
	MaxFailures       string    `placeholder:"N|P%" help:"Pause the run, and end with exit code 1, when this many generations have failed, or this part of all that ended. Nothing is given up, and the same command goes on. off: never. Default: when the first 20 have all failed, or half of the first 200."`
	DryRun            bool      `help:"Check everything; show the first request, the columns, how long the requests are, and what the flags come to; write nothing, and make no folder."`
	JSON              bool      `name:"json" help:"Print the summary as JSON; of a dry run all that it found."`
}

// Run generates every answer and exports them, one run after the other if there are several.
// Without a dataset it answers the fifty problems of the demo.
func (c *RunLocal) Run(ctx context.Context, t *cli.Terminal, inForce cli.InForce) error {
	if c.Data != folder.Default || os.Getenv("MONGODB_URI") != "" { // else the commands in messages find it
		cli.RunsFlags{Data: c.Data}.Advise()
	}
	deadline, err := c.Deadline(time.Now())
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		return err
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	log, err := c.Logger(t)
	if err != nil {
		return err
	}
	if err := c.Options.Check(); err != nil { // before anything is read or asked
		return err
	}
	data, err := c.dataset(ctx, t, progress)
	if err != nil {
		return err
	}
	defer data.Close()
	variants, err := c.variants(ctx, t, data, progress)
	if err != nil {
		return err
	}
	outputs := make([]hubOutput, len(variants))
	for i, v := range variants {
		if outputs[i], err = c.outputOf(ctx, c.config(v.Of(c.Out)), c.Data, progress); err != nil {
			return err
		}
		defer outputs[i].remove()
	}
	view.Variants(t, variants)
	if c.DryRun {
		return c.dryRun(ctx, t, data, variants, outputs, inForce())
	}
	var done []local.Summary
	for i, v := range variants {
		one := *c
		one.SpecFlags, one.Name, one.Out = v.SpecFlags, v.Name, outputs[i].path(v.Of(c.Out))
		summary, err := one.generate(ctx, t, deadline, data, progress, log)
		if tooMany, ok := errors.AsType[*producer.TooManyFailures](err); ok {
			err = paused(t, c.JSON, tooMany, summary.Snapshot, "The same command goes on; with --max-failures off whatever fails")
		}
		if err == nil {
			err = outputs[i].send(ctx, summary.Run, summary.Model, &summary.Out, &summary.Notes)
		}
		if err != nil {
			if len(done) > 0 {
				_ = c.summaries(t, done) // what went wrong counts more than what it says of answers
			}
			return err
		}
		progress.End(answered(summary), summary.Snapshot)
		if done = append(done, summary); summary.Left > 0 {
			break // the time is over for the others, too
		}
	}
	if len(variants) > 1 {
		return c.summaries(t, done)
	}
	return c.summary(t, done[0])
}

// variants returns the runs that are asked for. Of several each is checked before the first begins.
func (c *RunLocal) variants(ctx context.Context, t *cli.Terminal, data *input, progress *view.Progress) ([]cli.Variant, error) {
	variants, err := c.SpecFlags.Variants(c.Name)
	if err != nil || len(variants) == 1 {
		return variants, err
	}
	if c.Out == "-" {
		return nil, cli.Usage("--out: %d runs have a file each, which - is not: name a file, of which each gets one beside it", len(variants))
	}
	for _, v := range variants {
		spec, err := specOf(ctx, v.SpecFlags)
		if err != nil {
			return nil, err
		}
		spec.Model = cmp.Or(spec.Model, "default") // which the servers choose later
		_, err = producer.RunPreflight(ctx, cmp.Or(v.Name, "unnamed"), spec, data.Dataset, data.watch(progress, "checking"))
		progress.Clear()
		if err != nil {
			return nil, data.failed(t, err)
		}
	}
	return variants, nil
}

// generate does one run.
func (c *RunLocal) generate(ctx context.Context, t *cli.Terminal, deadline time.Time, data *input, progress *view.Progress, log *zap.Logger) (_ local.Summary, err error) {
	spec, err := specOf(ctx, c.SpecFlags)
	if err != nil {
		return local.Summary{}, err
	}
	limit, err := failureLimit(c.MaxFailures)
	if err != nil {
		return local.Summary{}, err
	}
	servers, err := c.servers(ctx, progress, log)
	if err != nil {
		return local.Summary{}, err
	}
	defer servers.Close()
	spec.Model, spec.Simulated = servers.Model, servers.Simulated
	checked := false
	defer func() {
		if err != nil && !checked {
			err = data.failed(t, err)
		}
		err = errors.Join(err, data.bad.commit(t.Err))
	}()
	return local.Run(ctx, local.Config{
		Run: c.Name, Spec: spec, FreeBatch: c.Batch == nil, Dataset: data.Dataset, Inputs: data.files(), Data: c.Data, Out: c.Out, MaxBytes: int64(c.MaxBytes),
		Export: c.export(data.local), GPUs: servers.GPUs, AllowCPU: c.AllowCPU, Deadline: deadline, FirstToken: c.FirstToken, Stall: c.Stall, AnswerLimit: c.AnswerLimit, MaxFailures: limit, Log: log,
		Checked: data.watch(progress, "checking"), Loaded: data.watch(progress, "loading"),
		Preflight: func(s producer.Preflight) {
			checked = true
			progress.Clear()
			c.sayServers(t, servers)
			preview(t, data, s)
			data.bad.path = filepath.Join(c.Data, s.Run.Name+badSuffix)
		},
		Note: func(lines []string) { notes(t, lines) },
		Exported: func(generations, of int) {
			if progress.Due() {
				progress.Show(view.Steps("exporting", generations, of, "generations"))
			}
		},
		Watch: func(s status.Snapshot) {
			if progress.Due() {
				progress.Run(s)
			}
		},
	})
}

// export returns the settings of the export. The dataset that is read is never overwritten.
func (c *RunLocal) export(inputs []string) export.Config {
	config := c.config(c.Out)
	config.Inputs = slices.DeleteFunc(slices.Clone(inputs), func(path string) bool { return path == "-" })
	return config
}

// dataset returns the rows that were asked for, or the project's own.
func (c *RunLocal) dataset(ctx context.Context, t *cli.Terminal, progress *view.Progress) (*input, error) {
	if c.HasInput() {
		return openInput(ctx, t, c.SpecFlags, progress)
	}
	if c.Field == "" && c.Prompt == "" && len(c.PromptFile) == 0 {
		c.Field = "question"
	}
	return &input{Dataset: local.Problems(c.Limit), bad: &badRows{}}, nil
}

// answered says in one line what a run has made.
func answered(s local.Summary) string {
	return fmt.Sprintf("%s of %s in %s: %s", view.Plural(s.Stored, "answer", "answers"), view.Count(s.Generations), view.Duration(s.Took), view.Tokens(s.Snapshot))
}

func (c *RunLocal) summary(t *cli.Terminal, s local.Summary) error {
	talk := t.Out
	if c.Out == "-" {
		talk = t.Err
	}
	if c.JSON {
		if err := cli.PrintJSON(talk, s); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(talk, "\n%s\n", answered(s))
		if s.Generated < s.Stored {
			fmt.Fprintf(talk, "%s made just now (%s), the others were there already\n", view.Plural(s.Generated, "answer was", "answers were"),
				view.Plural(s.Tokens, "token", "tokens"))
		}
		if worked := view.Worked(s.Snapshot); worked != "" {
			fmt.Fprintln(talk, worked)
		}
		fmt.Fprintf(talk, "%s in %s%s\n", view.Plural(s.Lines, "line", "lines"), s.Out, view.LeftOut(s.Skipped))
	}
	notes(t, s.Notes)
	if s.Simulated {
		if c.JSON {
			talk = t.Err
		}
		fmt.Fprintln(talk, madeUpAtEnd)
	}
	if err := c.timeOver(s.Left); err != nil {
		return err
	}
	return unanswered(t, c.JSON, s)
}

// summaries prints a table of several runs, as JSON a list.
func (c *RunLocal) summaries(t *cli.Terminal, done []local.Summary) error {
	var rows [][]string
	var ended []error
	left, simulated := 0, false
	for _, s := range done {
		rows = append(rows, []string{s.Run, s.Model, view.Count(s.Stored), view.Count(s.Generations), view.Count(s.OutputTokens),
			view.Rate(s.MeanTokensPerSecond), view.Duration(s.Took), s.Out + view.LeftOut(s.Skipped)})
		ended = append(ended, unanswered(t, c.JSON, s))
		left += s.Left
		simulated = simulated || s.Simulated
	}
	talk := t.Out
	if c.JSON {
		if err := cli.PrintJSON(t.Out, done); err != nil {
			return err
		}
		talk = t.Err
	} else {
		fmt.Fprint(t.Out, "\n", view.Table(cli.Grid{Columns: t.TextColumns(), Right: []int{2, 3, 4, 5, 6}, Below: []int{1, 5, 3}}, []string{"RUN", "MODEL", "ANSWERS", "OF", "TOKENS", "TOKENS/S", "TIME", "FILE"}, rows))
	}
	if simulated {
		fmt.Fprintln(talk, madeUpAtEnd)
	}
	if err := c.timeOver(left); err != nil {
		return err
	}
	if err := errors.Join(ended...); err != nil {
		return &cli.Exit{Code: cli.DeadLetters, Err: err}
	}
	return nil
}
