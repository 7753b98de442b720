package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
	"gleaner/internal/sink"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// Export is the command export: store → dataset.
type Export struct {
	cli.StoreFlags `embed:""`
	cli.NATSFlags  `embed:""`
	Name           string `name:"run" required:"" placeholder:"NAME" help:"Name of the run."`
	Out            string `required:"" path:"file" placeholder:"FILE" help:"JSON Lines, compressed if the name ends in .gz or .zst; - is standard output."`
	Layout         string `enum:"rows,chat" default:"rows" help:"rows: the row's columns plus the answer. chat: messages, as chat fine-tuning takes them."`
	All            bool   `help:"Also write generations without an answer, with null."`
	WithFailed     bool   `help:"Also write generations that failed, with null, and in gleaner why, and what there was of an answer that was cut off. Reads the dead letters, so it needs NATS."`
	ResponseField  string `default:"response" placeholder:"COLUMN" help:"Name of the answer's column in layout rows."`
	JSON           bool   `name:"json" help:"Print the summary as JSON (on standard error if the dataset goes to standard output)."`
}

// Run writes the dataset. Generations without an answer make it end with cli.DeadLetters.
func (c *Export) Run(ctx context.Context, t *cli.Terminal) error {
	ctx = brief(ctx)
	store, err := openStore(ctx, c.StoreFlags)
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
	encoder, err := dataset.NewLineEncoder(run, dataset.Layout{Name: c.Layout, Response: c.ResponseField}, renderer)
	if err != nil {
		return err
	}
	out, err := dataset.Create(c.Out)
	if err != nil {
		return err
	}
	defer out.Abort()
	progress := view.NewProgress(t)
	started := time.Now()
	answers, closeStreams, err := c.answers(ctx, store, run)
	if err != nil {
		return err
	}
	defer closeStreams()
	exported, err := sink.Export(ctx, answers, encoder, out, sink.ExportOptions{All: c.All, Progress: func(n int) {
		if progress.Due() {
			progress.Show(view.Steps("exporting", n, run.Generations, "generations"))
		}
	}})
	progress.Clear()
	if err != nil {
		return err
	}
	if err := out.Commit(); err != nil {
		return err
	}
	return c.summary(t, exported, time.Since(started))
}

func (c *Export) summary(t *cli.Terminal, exported sink.Exported, took time.Duration) error {
	talk := t.Out
	if c.Out == "-" {
		talk = t.Err
	}
	var err error
	if c.JSON {
		err = cli.PrintJSON(talk, exported)
	} else {
		_, err = fmt.Fprintf(talk, "%s written to %s in %s\n", view.Plural(exported.Lines, "line", "lines"), c.Out, view.Duration(took))
	}
	if err == nil && exported.Missing > 0 {
		return &cli.Exit{Code: cli.DeadLetters, Err: errors.New(c.missing(exported))}
	}
	return err
}

// missing says what became of the generations without an answer.
func (c *Export) missing(exported sink.Exported) string {
	what, others := "left out", exported.Missing-exported.Failed
	failed := view.Plural(exported.Failed, "generation failed and is written with why", "generations failed and are written with why")
	if c.All {
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
func (c *Export) answers(ctx context.Context, store store.Store, run pipeline.Run) (iter.Seq2[pipeline.Answer, error], func(), error) {
	answers := store.Answers(ctx, run.Name)
	if !c.WithFailed {
		return answers, func() {}, nil
	}
	conn, err := connect(ctx, c.NATSFlags)
	if err != nil {
		return nil, nil, err
	}
	return sink.WithFailures(ctx, run, answers, conn), conn.Close, nil
}
