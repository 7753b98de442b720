package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// Export is the command export: store → dataset.
type Export struct {
	cli.RunsFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	cli.NATSFlags     `embed:""`
	ExportFlags       `embed:""`
	Name              string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Out               string `required:"" path:"file" placeholder:"FILE" help:"The end of the name says the format: .jsonl, .json, .csv, .tsv (each also .gz or .zst), .parquet. DIR/ is a folder of Parquet with a card, hf://datasets/ME/NAME pushes such a folder to the hub; - is JSON Lines on standard output."`
	All               bool   `help:"Also write generations without an answer, with null, in layout rows."`
	WithFailed        bool   `help:"Also write generations that failed, with null, and in gleaner why, and what there was of an answer that was cut off. Reads the dead letters, so it needs NATS."`
	JSON              bool   `name:"json" help:"Print the summary as JSON (on standard error if the dataset goes to standard output)."`
}

// Run writes the dataset. Generations without an answer make it end with cli.DeadLetters.
func (c *Export) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	config := c.config(c.Out)
	config.All = c.All
	progress := view.NewProgress(t, c.ProgressFlags)
	remote, err := c.outputOf(ctx, config, "", progress)
	if err != nil {
		return err
	}
	defer remote.remove()
	config.Out = remote.path(c.Out)
	if err := export.Check(config); err != nil {
		return err
	}
	store, runs, err := openRuns(ctx, t, c.RunsFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := store.Run(ctx, c.Name)
	if err != nil {
		return err
	}
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return err
	}
	if config, err = config.For(run.Spec); err != nil {
		return err
	}
	names, err := export.SettleRun(config, run, func(first, count int) ([]pipeline.Item, error) {
		return store.Items(ctx, run.Name, first, count)
	})
	if err != nil {
		return err
	}
	notes(t, names.Notes)
	out, err := export.New(run, config, names, renderer)
	if err != nil {
		return err
	}
	defer out.Abort()
	started := time.Now()
	answers, closeStreams, err := c.answers(ctx, runs, store, run)
	if err != nil {
		return err
	}
	defer closeStreams()
	err = sink.Export(ctx, answers, out, func(n int) {
		if progress.Due() {
			progress.Show(view.Steps("exporting", n, run.Generations, "generations"))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	exported, err := out.Commit()
	if err != nil {
		return err
	}
	written := exportSummary{exported, c.Out}
	if err := remote.send(ctx, run.Name, run.Spec.Model, &written.Out, &written.Notes); err != nil {
		return err
	}
	notes(t, written.Notes)
	return c.summary(t, config.Layout, written, time.Since(started))
}

// An exportSummary is what was written, and where.
type exportSummary struct {
	export.Tally
	Out string `json:"out"`
}

// notes says what is not as usual, each in a line.
func notes(t *cli.Terminal, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(t.Err, "Note: %s.\n", note)
	}
}

func (c *Export) summary(t *cli.Terminal, layout string, exported exportSummary, took time.Duration) error {
	talk := t.Out
	if c.Out == "-" {
		talk = t.Err
	}
	var err error
	if c.JSON {
		err = cli.PrintJSON(talk, exported)
	} else {
		_, err = fmt.Fprintf(talk, "%s written to %s in %s%s\n", view.Plural(exported.Lines, "line", "lines"), exported.Out, view.Duration(took), view.LeftOut(exported.Skipped))
	}
	if err == nil && exported.Missing > 0 {
		return &cli.Exit{Code: cli.DeadLetters, Err: errors.New(c.missing(layout, exported.Tally))}
	}
	return err
}

// missing says what became of the generations without an answer.
func (c *Export) missing(layout string, exported export.Tally) string {
	what, others := "left out", exported.Missing-exported.Failed
	failed := view.Plural(exported.Failed, "generation failed and is written with why", "generations failed and are written with why")
	switch {
	case layout == export.LayoutOpenAIBatch:
		what = "written as errors"
	case c.All && exported.LeftOut == 0:
		what = "written as null"
	}
	switch {
	case exported.Failed == 0:
		return fmt.Sprintf("%s no answer yet and were %s", view.Plural(others, "generation has", "generations have"), what)
	case others == 0:
		return failed
	}
	return fmt.Sprintf("%s, %s no answer yet and were %s", failed, view.Plural(others, "has", "have"), what)
}

// answers returns the answers of a run, with the failures if they are asked for. The caller has to
// call the function that comes with them.
func (c *Export) answers(ctx context.Context, runs cli.RunsFlags, store store.Store, run pipeline.Run) (iter.Seq2[pipeline.Answer, error], func(), error) {
	answers := store.Answers(ctx, run.Name)
	if !c.WithFailed {
		return answers, func() {}, nil
	}
	conn, err := connect(ctx, runs, c.NATSFlags, zap.NewNop())
	if err != nil {
		return nil, nil, err
	}
	return sink.WithFailures(ctx, run, answers, conn), conn.Close, nil
}
