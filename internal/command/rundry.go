package command

import (
	"cmp"
	"context"

	"gleaner/internal/cli"
	"gleaner/internal/local"
	"gleaner/internal/view"
)

// dryRun checks the runs, and prints what it found. Nothing is written, loaded or pulled.
func (c *RunLocal) dryRun(ctx context.Context, t *cli.Terminal, data *input, variants []cli.Variant, outputs []hubOutput, settings []cli.Setting) error {
	progress := view.NewProgress(t, c.ProgressFlags)
	var found []view.DryRun
	for i, v := range variants {
		one := *c
		one.SpecFlags, one.Name, one.Out = v.SpecFlags, v.Name, v.Of(c.Out)
		d, err := one.check(ctx, t, data, progress, outputs[i], settings)
		if err != nil {
			return err
		}
		found = append(found, d)
	}
	return dryRuns(t, found, c.JSON)
}

// check checks one run.
func (c *RunLocal) check(ctx context.Context, t *cli.Terminal, data *input, progress *view.Progress, output hubOutput, settings []cli.Setting) (view.DryRun, error) {
	spec, err := specOf(ctx, c.SpecFlags)
	if err != nil {
		return view.DryRun{}, err
	}
	model, err := local.ChooseModel(ctx, c.serversConfig(progress))
	if err != nil {
		return view.DryRun{}, err
	}
	spec.Model, spec.Simulated = cmp.Or(model.Model, unknown), model.Simulated
	rows, profile := data.profiled(true)
	checked, err := local.Check(ctx, local.Config{
		Run: c.Name, Spec: spec, Dataset: rows, Data: c.Data, Out: output.path(c.Out), Export: c.export(data.local),
		Checked: data.watch(progress, "checking"),
	})
	progress.Clear()
	if err != nil {
		return view.DryRun{}, err
	}
	if c.Out != "" {
		checked.Export.Out = c.Out // also on the hub
	}
	isNamed := model.Model != "" || c.Name != "" // else the name is made from the model
	if !isNamed {
		checked.Run.Name, checked.Export.Out = unknown, c.Out // which may be empty
	}
	preview(t, data, checked.Preflight)
	notes(t, checked.Names.Notes)
	d, err := data.dryRun(ctx, found{
		checked: checked.Preflight, profile: profile, export: checked.Export, names: checked.Names, model: model.How, freeBatch: c.Batch == nil,
	}, settings)
	d.Spec.Model = model.Model
	if !isNamed {
		d.Name, d.Request.Seed = "", 0
	}
	return d, err
}

// unknown stands for a model that a server is still to choose, and for a name that is made from it.
const unknown = "not known"
