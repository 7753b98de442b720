package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
)

// loadCmd is the command producer load: dataset file → run in the store.
type loadCmd struct {
	cli.Store `embed:""`
	cli.Spec  `embed:""`
	Name      string `name:"run" required:"" placeholder:"NAME" help:"Name of the run: a-z, 0-9 and -."`
	DryRun    bool   `help:"Check everything and show the first prompt; write nothing."`
	JSON      bool   `name:"json" help:"Print the summary as JSON."`
}

func (c *loadCmd) Run(ctx context.Context, t *cli.Terminal) error {
	spec, err := c.Spec.Spec()
	if err != nil {
		return err
	}
	if c.Input == "" {
		return cli.Usage("no dataset: give --input FILE, or --input - for standard input")
	}
	source, err := dataset.NewSource(c.Input, t.In)
	if err != nil {
		return err
	}
	defer source.Close()
	data := producer.Dataset{Name: source.Name(), Limit: c.Limit, Open: func() (producer.Rows, error) { return source.Open() }}

	progress := cli.NewProgress(t)
	survey, err := producer.RunPreflight(ctx, c.Name, spec, data, func(rows int) {
		if progress.Due() {
			progress.Show(fmt.Sprintf("checking %s: %s rows", data.Name, cli.Count(rows)))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	cli.Preview(t, survey.Run, survey.Messages)
	if c.DryRun {
		return c.summary(t, survey.Run, "dry run: nothing was written")
	}
	return c.write(ctx, t, survey, progress)
}

func (c *loadCmd) write(ctx context.Context, t *cli.Terminal, survey producer.Preflight, progress *cli.Progress) error {
	ledger, err := openStore(ctx, c.Store)
	if err != nil {
		return err
	}
	defer ledger.Close()
	run, wrote, err := producer.Load(ctx, ledger, survey, ulid.Make().String(), func(items int) {
		if progress.Due() {
			total := survey.Run.Items
			progress.Show(fmt.Sprintf("loading %s %s  %s of %s rows", cli.Bar(items, total, 30), cli.Percent(items, total), cli.Count(items), cli.Count(total)))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if !wrote {
		return c.summary(t, run, "was loaded before; nothing to do")
	}
	return c.summary(t, run, "loaded")
}

func (c *loadCmd) summary(t *cli.Terminal, run pipeline.Run, what string) error {
	if c.JSON {
		return json.NewEncoder(t.Out).Encode(run)
	}
	batches := ""
	if run.Batches > 0 {
		batches = " in " + cli.Plural(run.Batches, "batch", "batches")
	}
	_, err := fmt.Fprintf(t.Out, "run %s %s: %s%s\n", run.Name, what, cli.Plural(run.Generations, "generation", "generations"), batches)
	return err
}
