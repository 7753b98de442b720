package command

import (
	"cmp"
	"context"
	"fmt"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// LoadRun is the command load: dataset file → run in the store.
type LoadRun struct {
	cli.StoreFlags `embed:""`
	cli.SpecFlags  `embed:""`
	Name           string `name:"run" required:"" placeholder:"NAME" help:"Name of the run: a-z, 0-9 and -."`
	Digest         string `placeholder:"DIGEST|any" help:"Take only answers of this digest of the model, all 64 digits, or of any. Default: the digest of the first answer."`
	DryRun         bool   `help:"Check everything and show the first prompt; write nothing."`
	JSON           bool   `name:"json" help:"Print the summary as JSON."`
}

// Run checks the dataset, shows its first prompt, and writes the run.
func (c *LoadRun) Run(ctx context.Context, t *cli.Terminal) error {
	spec, err := c.SpecFlags.Spec(ctx)
	if err != nil {
		return err
	}
	pin := ""
	if c.Digest != "" {
		if pin, err = pipeline.ParsePin(c.Digest); err != nil {
			return cli.Usage("digest: %v", err)
		}
	}
	if c.Input == "" {
		return cli.Usage("no dataset: give --input FILE, or --input - for standard input")
	}
	source, err := dataset.NewSource(dataset.SourceOptions{Inputs: []string{c.Input}, Stdin: t.In})
	if err != nil {
		return err
	}
	defer source.Close()
	data := producer.Dataset{Name: source.Name(), Limit: c.Limit, Open: func() (producer.Rows, error) { return source.Open() }}

	progress := view.NewProgress(t)
	preflight, err := producer.RunPreflight(ctx, c.Name, spec, data, func(rows int) {
		if progress.Due() {
			progress.Show(fmt.Sprintf("checking %s: %s rows", data.Name, view.Count(rows)))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	preflight.Run = preflight.Run.PinTo(pin)
	view.Preview(t, preflight.Run, preflight.Messages)
	if c.DryRun {
		return c.summary(t, preflight.Run, "dry run: nothing was written")
	}
	return c.write(ctx, t, preflight, progress)
}

func (c *LoadRun) write(ctx context.Context, t *cli.Terminal, preflight producer.Preflight, progress *view.Progress) error {
	store, err := store.Open(ctx, c.Store) // this command makes one
	if err != nil {
		return err
	}
	defer store.Close()
	run, wrote, err := producer.Load(ctx, store, preflight, ulid.Make().String(), func(items int) {
		if progress.Due() {
			progress.Show(view.Steps("loading", items, preflight.Run.Items, "rows"))
		}
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if pinned := preflight.Run.Pins[pipeline.Ollama]; pinned != "" && run.Pins[pipeline.Ollama] != pinned {
		return fmt.Errorf("run %s was loaded before and is pinned to %s: change that with `producer pin --run %s %s`",
			run.Name, cmp.Or(run.Pins[pipeline.Ollama], "no digest yet"), run.Name, pinned)
	}
	if !wrote {
		return c.summary(t, run, "was loaded before; nothing to do")
	}
	return c.summary(t, run, "loaded")
}

func (c *LoadRun) summary(t *cli.Terminal, run pipeline.Run, what string) error {
	if c.JSON {
		return cli.PrintJSON(t.Out, run)
	}
	batches := ""
	if run.Batches > 0 {
		batches = " in " + view.Plural(run.Batches, "batch", "batches")
	}
	_, err := fmt.Fprintf(t.Out, "run %s %s: %s%s\n", run.Name, what, view.Plural(run.Generations, "generation", "generations"), batches)
	return err
}
