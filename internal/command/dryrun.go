package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/export"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/view"
)

// found is what a dry run collects of one run.
type found struct {
	checked producer.Preflight
	profile *dataset.Profile
	export  export.Config
	names   export.Names
	model   string // why it has that one, in words

	freeBatch bool // no one has asked for a size of the batches
}

// dryRun returns the report of a dry run.
func (in *input) dryRun(ctx context.Context, f found, settings []cli.Setting) (view.DryRun, error) {
	if err := prompt.RefuseGoTemplate(f.checked.Run.Spec); err != nil {
		return view.DryRun{}, err
	}
	d := view.DryRun{
		Run: f.checked.Run, NotWritten: true, RowBytes: f.checked.RowBytes, Bad: view.BadRowsOf(f.checked.Bad),
		Lengths: view.LengthsOf(f.checked.Lengths), Settings: beside(settings, "dry-run", "json"), Notes: f.names.Notes,
		Files: []view.FoundFile{{Path: in.Name, Format: "built in"}},
	}
	d.Columns, d.MoreColumns = f.profile.Columns()
	if in.source != nil {
		d.Files, d.LeftOut = nil, in.source.LeftOut()
		for _, file := range in.source.Files() {
			d.Files = append(d.Files, view.FoundFile{Path: file.Path, Format: file.Format, Bytes: file.Size})
		}
	}
	if f.checked.Note != "" {
		d.Notes = append(d.Notes, f.checked.Note)
	}
	err := producer.Spread(ctx, f.checked, 1, func(first producer.Pick) error {
		d.Request = view.ShowRequest(first.Request)
		return nil
	})
	if err != nil {
		return d, err
	}
	output, err := outputOf(d.Run, f.export, f.names)
	d.Resolved = append(resolved(d.Run, f.model, f.freeBatch), output...)
	return d, err
}

// beside returns the settings without those of some flags.
func beside(settings []cli.Setting, flags ...string) []cli.Setting {
	return slices.DeleteFunc(settings, func(s cli.Setting) bool { return slices.Contains(flags, s.Flag) })
}

// resolved says what the flags of a run's spec come to. How says in words why it has its model.
func resolved(run pipeline.Run, how string, freeBatch bool) (set []view.Resolved) {
	spec := run.Spec
	add := func(what, format string, args ...any) {
		set = append(set, view.Resolved{What: what, Value: fmt.Sprintf(format, args...)})
	}
	add("run", "%s, of %s", run.Name, view.Plural(run.Generations, "generation", "generations"))
	add("model", "%s", strings.Trim(spec.Model+": "+how, ": "))
	switch {
	case spec.Requests != nil:
		add("prompt", "the messages of requests of OpenAI's batch API")
	case spec.Field != "" && spec.Chats:
		add("prompt", "column %s, which holds chats", spec.Field)
	case spec.Field != "":
		add("prompt", "column %s, which holds texts", spec.Field)
	default:
		add("prompt", "a Jinja template of %s bytes", view.Count(len(spec.Prompt)))
	}
	switch {
	case spec.System == "":
	case spec.Language == pipeline.Jinja:
		add("system prompt", "a Jinja template of %s bytes", view.Count(len(spec.System)))
	default:
		add("system prompt", "a text of %s, the same for all rows", view.Plural(len(spec.System), "byte", "bytes"))
	}
	if len(spec.Vars) > 0 {
		add("variables", "%s", view.Plural(len(spec.Vars), "further name", "further names"))
	}
	if spec.Prefill != "" {
		add("the answer begins", "%q", spec.Prefill)
	}
	add("thinking", "%s", thinkingOf(spec.Options.Think))
	add("options sent", "%s", strings.Join(sent(spec.Options), ", "))
	if n := spec.Options.NumCtx; n > 0 {
		add("context", "of %s or more, which servers have to have", view.Plural(n, "token", "tokens"))
	}
	switch schema := spec.Options.Schema; {
	case len(schema) == 0:
	case string(schema) == pipeline.AnyJSON:
		add("schema", "any JSON: it is sent, and each answer is checked")
	default:
		add("schema", "%s: it is sent, and each answer is checked", view.Plural(len(schema), "byte", "bytes"))
	}
	if spec.ID != "" {
		add("id of a row", "column %s", spec.ID)
	}
	add("seed", "%d, from which each generation has its own", spec.Seed)
	add("samples", "%s", view.Plural(spec.Samples, "answer for each row", "answers for each row"))
	if freeBatch {
		add("batches", "of one generation each, and of more only for very many")
	} else {
		add("batches", "of %s at most", view.Plural(spec.Batch, "generation", "generations"))
	}
	return set
}

// thinkingOf says what a model is told about thinking.
func thinkingOf(think pipeline.Think) string {
	switch {
	case think == pipeline.ThinkAuto:
		return "as the model does by itself: nothing is sent (--think on or off)"
	case think.IsOff():
		return "off"
	case think.Level() != "":
		return "on, at level " + think.Level()
	}
	return "on"
}

// sent returns the options that a model server is told, and says where a value was not asked for.
func sent(o pipeline.Options) (flags []string) {
	wire := o
	wire.Schema, wire.Think, wire.Raw, wire.NumCtx = nil, "", false, 0
	for _, flag := range wire.Flags() {
		if flag == fmt.Sprintf("num-predict %d", o.Think.NumPredict()) {
			flag += " (the default)"
		}
		flags = append(flags, flag)
	}
	return flags
}

// outputOf says where the dataset goes, and which columns are written beside those of the rows.
func outputOf(run pipeline.Run, c export.Config, n export.Names) ([]view.Resolved, error) {
	encoder, err := export.NewEncoder(run, c, n, nil)
	if err != nil {
		return nil, err
	}
	var set []view.Resolved
	if c.Out != "" {
		set = append(set, view.Resolved{What: "output", Value: c.Out})
	}
	return append(set,
		view.Resolved{What: "layout", Value: cmp.Or(c.Layout, export.LayoutRows)},
		view.Resolved{What: "columns added", Value: strings.Join(encoder.Columns(), ", ")},
	), nil
}

// profiled returns the dataset with what collects its columns when it is checked, if they are
// wanted.
func (in *input) profiled(wanted bool) (producer.Dataset, *dataset.Profile) {
	data := in.Dataset
	if !wanted {
		return data, nil
	}
	profile := &dataset.Profile{}
	data.Taken = func(row []byte) {
		profile.Observe(row)
		if in.Taken != nil {
			in.Taken(row)
		}
	}
	return data, profile
}

// dryRuns prints what was found of one run, or of several; as JSON an object or a list of them.
func dryRuns(t *cli.Terminal, found []view.DryRun, asJSON bool) error {
	switch {
	case asJSON && len(found) == 1:
		return cli.PrintJSON(t.Out, found[0])
	case asJSON:
		return cli.PrintJSON(t.Out, found)
	}
	for i, d := range found {
		name := strings.TrimSpace("run " + d.Name)
		if len(found) > 1 {
			fmt.Fprintf(t.Out, "%s── %s ──\n", strings.Repeat("\n", min(i, 1)), name)
		}
		fmt.Fprint(t.Out, d.Text(t.Columns()))
		if _, err := fmt.Fprintf(t.Out, "\n%s, a dry run: nothing was written: %s%s\n",
			name, view.Plural(d.Generations, "generation", "generations"), view.LeftOut(d.Spec.Dataset.Skipped)); err != nil {
			return err
		}
	}
	return nil
}
