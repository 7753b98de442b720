package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/dataset"
	"gleaner/internal/hub"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/text"
	"gleaner/internal/view"
)

// An input is a dataset that a command reads.
type input struct {
	producer.Dataset
	source *dataset.Source // nil: the project's own
	local  []string        // the files that are read, which no output may overwrite
	bad    *badRows

	rows  reading   // that were opened last; nil: none of a source
	began time.Time // then
}

// Close removes what was kept of standard input.
func (in *input) Close() error {
	err := in.bad.close()
	if in.source != nil {
		err = errors.Join(err, in.source.Close())
	}
	return err
}

// files returns the paths of the files that are read.
func (in *input) files() (paths []string) {
	if in.source != nil {
		for _, f := range in.source.Files() {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// openInput finds the dataset that the flags name, and fetches what is elsewhere.
func openInput(ctx context.Context, t *cli.Terminal, f cli.SpecFlags, progress *view.Progress) (*input, error) {
	if err := f.InputFlags.Check(); err != nil {
		return nil, err
	}
	fetched, err := fetchInputs(ctx, f.InputFlags, progress)
	if err != nil {
		return nil, err
	}
	source, err := dataset.NewSource(dataset.SourceOptions{
		Inputs: fetched.paths, Stdin: t.In, Encoding: f.Encoding, RowsAt: f.RowsAt, NaN: f.NaN, Rows: f.Rows,
		Context: ctx, Shown: fetched.shown,
	})
	if err != nil {
		return nil, err
	}
	name := cmp.Or(fetched.name, source.Name())
	for _, left := range slices.Concat(fetched.leftOut, source.LeftOut()) {
		fmt.Fprintf(t.Err, "not read: %s\n", left)
	}
	in := &input{source: source, local: fetched.paths, bad: &badRows{}}
	in.Name = name
	open, err := in.selected(f.InputFlags, progress)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	in.Dataset = producer.Dataset{
		Name: name, Open: in.remember(open), Nulled: in.nulled, Canonical: dataset.Canonical, SkipBad: f.SkipBad, Bad: in.bad.write, SamePrompt: f.SamePrompt,
		Unset: f.Unset(),
	}
	return in, nil
}

// selected returns a function that opens the rows that are taken.
func (in *input) selected(f cli.InputFlags, progress *view.Progress) (func() (reading, error), error) {
	chosen := dataset.Selection{Explode: f.Explode, Where: f.InputWhere, Limit: f.Limit}
	if f.Random != nil {
		chosen.Random, chosen.Seed = true, *f.Random
	}
	if chosen == (dataset.Selection{}) {
		return func() (reading, error) { return in.source.Open() }, nil
	}
	began := time.Now()
	rows, err := in.source.Select(chosen, func(rows int, done, total int64) {
		if progress.Due() {
			progress.Show(view.Reading("drawing rows of "+in.Name, rows, done, total, time.Since(began)))
		}
	})
	if err != nil {
		return nil, err
	}
	return func() (reading, error) { return rows.Open() }, nil
}

// A fetched is the inputs with what is elsewhere replaced by files of this machine.
type fetched struct {
	paths   []string
	name    string            // of the dataset, if it comes from elsewhere
	shown   map[string]string // by path: the address of what was fetched
	leftOut []string          // what of a dataset holds no rows
}

// fetchInputs fetches what is elsewhere.
func fetchInputs(ctx context.Context, f cli.InputFlags, progress *view.Progress) (fetched, error) {
	config := hubConfig(progress, "fetching ")
	defer progress.Clear()
	all := fetched{shown: map[string]string{}}
	for _, path := range f.Inputs() {
		if !hub.IsRemote(path) {
			all.paths = append(all.paths, path)
			continue
		}
		one, err := hub.Fetch(ctx, config, hub.Source{Input: path, Subset: f.Subset, Split: f.InputSplit})
		if err != nil {
			return fetched{}, err
		}
		all.name = one.Name
		all.paths = append(all.paths, one.Files...)
		for i, file := range one.Files {
			all.shown[file] = one.Shown[i]
		}
		for _, left := range one.LeftOut {
			all.leftOut = append(all.leftOut, one.Name+"/"+left+": it holds no rows")
		}
	}
	if all.name == "" && (f.Subset != "" || f.InputSplit != "") {
		return fetched{}, cli.Usage("--subset and --input-split are of datasets on the hub: give --input hf://datasets/OWNER/NAME")
	}
	if len(f.Inputs()) > 1 {
		all.name = ""
	}
	return all, nil
}

// specOf returns the spec that the flags ask for, with the language of its templates.
func specOf(ctx context.Context, f cli.SpecFlags) (pipeline.Spec, error) {
	spec, err := f.Spec(ctx)
	if err != nil {
		return spec, err
	}
	return prompt.Begin(spec, len(f.PromptFile) > 0, f.SystemFile != ""), nil
}

// refuseGoTemplate returns an error for a new run whose prompt is a template of Go. Runs of earlier
// versions go on.
func refuseGoTemplate(ctx context.Context, store interface {
	Run(ctx context.Context, name string) (pipeline.Run, error)
}, run pipeline.Run) error {
	refused := prompt.RefuseGoTemplate(run.Spec)
	if refused == nil {
		return nil
	}
	if _, err := store.Run(ctx, run.Name); !errors.Is(err, pipeline.ErrNoRun) {
		return err
	}
	return refused
}

// preview shows the first request of a run, and what a person should know of its rows.
func preview(t *cli.Terminal, data *input, found producer.Preflight) {
	view.Preview(t, found.Run, found.Messages, found.Tools)
	noted(t, data, found)
}

// noted says what a person should know of the rows.
func noted(t *cli.Terminal, data *input, found producer.Preflight) {
	notes(t, data.notes())
	if found.Note != "" {
		fmt.Fprintf(t.Err, "note: %s\n", text.OneLine(found.Note))
	}
	if n := found.Bad.Total(); n > 0 {
		fmt.Fprintf(t.Err, "%s left out:\n%s", view.Plural(n, "bad row is", "bad rows are"), &found.Bad)
	}
}

// badSuffix ends the name of the file that lists a run's bad rows.
const badSuffix = ".bad.jsonl"

// badRows writes the rows that are left out to a file, which is there once a run is loaded.
type badRows struct {
	path string // empty: nowhere
	file *os.File
	out  *dataset.BadWriter
}

func (b *badRows) write(e *pipeline.RowError) error {
	if b.path == "" {
		return nil
	}
	if b.file == nil {
		file, err := os.CreateTemp(filepath.Dir(b.path), ".gleaner-*.tmp")
		if err != nil {
			return fmt.Errorf("the list of bad rows: %w", err)
		}
		b.file, b.out = file, dataset.NewBadWriter(file)
	}
	return b.out.Write(e)
}

// commit puts the file under its name, and says where it is.
func (b *badRows) commit(talk io.Writer) error {
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	if err == nil {
		err = os.Rename(b.file.Name(), b.path)
	}
	b.file = nil
	if err != nil {
		return fmt.Errorf("the list of bad rows %s: %w", b.path, err)
	}
	fmt.Fprintf(talk, "%s left out, listed in %s\n", view.Plural(b.out.Lines(), "bad row", "bad rows"), b.path)
	return nil
}

// close removes what was not committed.
func (b *badRows) close() error {
	if b.file == nil {
		return nil
	}
	err := errors.Join(b.file.Close(), os.Remove(b.file.Name()))
	b.file = nil
	return err
}
