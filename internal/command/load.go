package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/store"
	"gleaner/internal/view"
)

// LoadRun is the command load: dataset file → run in the store.
type LoadRun struct {
	Store             string `env:"MONGODB_URI" path:"sqlite" placeholder:"URI" help:"mongodb://…, mongodb+srv://… or sqlite:PATH. Better in the environment than on the command line: it may hold a password. A dry run needs none."`
	cli.SpecFlags     `embed:""`
	cli.ProgressFlags `embed:""`
	AnswerFlags       `embed:""`
	Name              string `name:"run" required:"" placeholder:"NAME" help:"Name of the run: a-z, 0-9 and -."`
	Digest            string `placeholder:"DIGEST|any" help:"Take only answers of this digest of the model, all 64 digits, or of any. Default: the digest of the first answer."`
	DryRun            bool   `help:"Check everything; show the first request, the columns, how long the requests are, and what the flags come to; write nothing."`
	JSON              bool   `name:"json" help:"Print the summary as JSON; of a dry run all that it found."`
}

// Run checks the dataset, shows its first prompt, and writes the run. Of several runs none is
// written before all are checked.
func (c *LoadRun) Run(ctx context.Context, t *cli.Terminal, inForce cli.InForce) error {
	if err := c.check(); err != nil {
		return err
	}
	variants, err := c.SpecFlags.Variants(c.Name)
	if err != nil {
		return err
	}
	pin, err := c.pin()
	if err != nil {
		return err
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	data, err := openInput(ctx, t, c.SpecFlags, progress)
	if err != nil {
		return err
	}
	defer data.Close()
	view.Variants(t, variants)
	var columns export.Columns
	data.Taken = columns.Take
	var checked []producer.Preflight
	var dry []view.DryRun
	for _, v := range variants {
		spec, err := specOf(ctx, v.SpecFlags)
		if err != nil {
			return err
		}
		rows, profile := data.profiled(c.DryRun)
		preflight, err := producer.RunPreflight(ctx, v.Name, spec, rows, data.watch(progress, "checking"))
		progress.Clear()
		if err != nil {
			return data.failed(t, err)
		}
		preflight.Run = preflight.Run.PinTo(pin)
		preflight.Run.Spec.Dataset.Files = export.InputKeys(data.files())
		config, names, err := c.settle(&preflight.Run.Spec, columns)
		if err != nil {
			return err
		}
		preview(t, data, preflight)
		notes(t, names.Notes)
		checked = append(checked, preflight)
		if c.DryRun {
			found, err := data.dryRun(ctx, found{checked: preflight, profile: profile, export: config, names: names}, inForce())
			if err != nil {
				return err
			}
			dry = append(dry, found)
		}
	}
	if c.DryRun {
		return dryRuns(t, dry, c.JSON)
	}
	var loaded []loadedRun
	for _, preflight := range checked {
		l, err := c.write(ctx, t, preflight, data, progress)
		if err != nil {
			return err
		}
		loaded = append(loaded, l)
	}
	return c.summary(t, loaded)
}

// check returns an error for flags that make no sense together.
func (c *LoadRun) check() error {
	if !c.DryRun {
		cli.RunsFlags{Store: c.Store}.Advise()
		if err := (cli.StoreFlags{Store: c.Store}).Validate(); err != nil {
			return cli.Usage("%v", err)
		}
	}
	if !c.HasInput() {
		return cli.Usage("no dataset: give --input FILE, or --input - for standard input")
	}
	return export.CheckFlags(export.Config{Layout: c.Layout, ResponseField: c.ResponseField})
}

// pin returns the digest of the model that the flag names.
func (c *LoadRun) pin() (string, error) {
	if c.Digest == "" {
		return "", nil
	}
	pin, err := pipeline.ParsePin(c.Digest)
	if err != nil {
		return "", cli.Usage("--digest: %v", err)
	}
	if len(c.Model) > 1 {
		return "", cli.Usage("--digest: it is of one model, and --model names %d", len(c.Model))
	}
	return pin, nil
}

// settle decides how the columns of an export will be called, and has the run keep of what.
func (c *LoadRun) settle(spec *pipeline.Spec, columns export.Columns) (export.Config, export.Names, error) {
	spec.Dataset.Columns = columns.Kept()
	spec.Layout, spec.ResponseField = c.Layout, c.ResponseField
	config, err := export.Config{}.For(*spec)
	if err != nil {
		return config, export.Names{}, err
	}
	names, err := export.Settle(config, columns.Names())
	return config, names, err
}

// keeps returns an error if a run that was loaded before has other defaults of its exports.
func (c *LoadRun) keeps(run pipeline.Run) error {
	for _, f := range []struct{ flag, asked, kept string }{
		{"--layout", c.Layout, run.Spec.Layout}, {"--response-field", c.ResponseField, run.Spec.ResponseField},
	} {
		if f.asked != "" && f.asked != f.kept {
			return fmt.Errorf("run %s was loaded before, with another %s (%s), and keeps it: leave the flag out here, and give it to export", run.Name, f.flag, cmp.Or(f.kept, "none"))
		}
	}
	return nil
}

// A loadedRun is a run and what was done with it.
type loadedRun struct {
	pipeline.Run
	did string
}

func (c *LoadRun) write(ctx context.Context, t *cli.Terminal, preflight producer.Preflight, data *input, progress *view.Progress) (loadedRun, error) {
	store, err := store.Open(ctx, c.Store) // this command makes one
	if err != nil {
		return loadedRun{}, err
	}
	defer store.Close()
	if err := refuseGoTemplate(ctx, store, preflight.Run); err != nil {
		return loadedRun{}, err
	}
	data.bad.path = preflight.Run.Name + badSuffix
	run, wrote, err := producer.Load(ctx, store, preflight, ulid.Make().String(), data.watch(progress, "loading"))
	progress.Clear()
	if err = errors.Join(err, data.bad.commit(t.Err)); err != nil {
		return loadedRun{}, err
	}
	if pinned := preflight.Run.Pins[pipeline.Ollama]; pinned != "" && run.Pins[pipeline.Ollama] != pinned {
		return loadedRun{}, fmt.Errorf("run %s was loaded before and is pinned to %s: change that with `%s`",
			run.Name, cmp.Or(run.Pins[pipeline.Ollama], "no digest yet"), advice.Command("pin", "--run", run.Name, pinned))
	}
	if err := c.keeps(run); err != nil {
		return loadedRun{}, err
	}
	if !wrote {
		return loadedRun{run, "was loaded before; nothing to do"}, nil
	}
	return loadedRun{run, "loaded"}, nil
}

// summary prints a line for one run, and a table for several; as JSON a run or a list of them.
func (c *LoadRun) summary(t *cli.Terminal, loaded []loadedRun) error {
	if len(loaded) > 1 {
		runs := make([]pipeline.Run, len(loaded))
		rows := make([][]string, len(loaded))
		for i, l := range loaded {
			runs[i] = l.Run
			rows[i] = []string{l.Name, l.Spec.Model, view.Count(l.Generations), l.did + view.LeftOut(l.Spec.Dataset.Skipped)}
		}
		if c.JSON {
			return cli.PrintJSON(t.Out, runs)
		}
		_, err := fmt.Fprint(t.Out, view.Table(cli.Grid{Columns: t.TextColumns(), Right: []int{2}, Below: []int{1}}, []string{"RUN", "MODEL", "GENERATIONS", ""}, rows))
		return err
	}
	run := loaded[0].Run
	if c.JSON {
		return cli.PrintJSON(t.Out, run)
	}
	batches := ""
	if run.Batches > 0 {
		batches = " in " + view.Plural(run.Batches, "batch", "batches")
	}
	_, err := fmt.Fprintf(t.Out, "run %s %s: %s%s%s\n", run.Name, loaded[0].did, view.Plural(run.Generations, "generation", "generations"), batches, view.LeftOut(run.Spec.Dataset.Skipped))
	return err
}
