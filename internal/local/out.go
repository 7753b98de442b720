package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gleaner/internal/export"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/sink"
	"gleaner/internal/status"
)

// preflight reads the dataset, and says before hours of work, and not after them, what is wrong
// with the output: whether it can be written, and how its columns are called. It completes cfg.
func preflight(ctx context.Context, cfg *Config) (producer.Preflight, export.Names, error) {
	var err error
	if cfg.Export, err = cfg.Export.For(cfg.Spec); err != nil {
		return producer.Preflight{}, export.Names{}, err
	}
	if cfg.Export.Out = cfg.Out; cfg.Out != "" {
		if err := export.Check(cfg.Export); err != nil {
			return producer.Preflight{}, export.Names{}, err
		}
	}
	var columns export.Columns
	data := cfg.Dataset
	data.Taken = func(row []byte) {
		columns.Take(row)
		if cfg.Dataset.Taken != nil {
			cfg.Dataset.Taken(row)
		}
	}
	checked, err := producer.RunPreflight(ctx, orDefault(cfg.Run, "unnamed"), cfg.Spec, data, cfg.Checked)
	if err != nil {
		return producer.Preflight{}, export.Names{}, err
	}
	checked.Run.Spec.Dataset.Columns, checked.Run.Spec.Dataset.Files = columns.Kept(), export.InputKeys(cfg.Inputs)
	if cfg.Export, err = cfg.Export.For(checked.Run.Spec); err != nil {
		return producer.Preflight{}, export.Names{}, err
	}
	if cfg.Run == "" {
		checked.Run.Name = RunName(checked.Run.Spec)
	}
	if cfg.Out == "" {
		cfg.Out = filepath.Join(cfg.Data, checked.Run.Name+".jsonl")
		cfg.Export.Out, cfg.Export.OwnName = cfg.Out, true
		if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
			// The folder is still to be made, and so nothing is in the way.
		} else if err := export.Check(cfg.Export); err != nil {
			return producer.Preflight{}, export.Names{}, err
		}
	}
	names, err := export.Settle(cfg.Export, columns.Names())
	return checked, names, err
}

// export writes the dataset.
func (m *machine) export(ctx context.Context, summary *Summary) error {
	renderer, err := prompt.New(m.run.Spec)
	if err != nil {
		return err
	}
	out, err := export.New(m.run, m.cfg.Export, m.names, renderer)
	if err != nil {
		return err
	}
	defer out.Abort()
	answers := m.store.Answers(ctx, m.run.Name)
	if m.cfg.Export.Layout == export.LayoutOpenAIBatch { // whose lines say why there is no answer
		answers = sink.WithFailures(ctx, m.run, answers, m.conn)
	}
	exporting := func(seen int) {
		if m.cfg.Exported != nil {
			m.cfg.Exported(seen, m.run.Generations)
		}
	}
	if err := sink.Export(ctx, answers, out, exporting); err != nil {
		return err
	}
	exported, err := out.Commit()
	if err != nil {
		return err
	}
	if err := m.snapshot(ctx, summary); err != nil {
		return err
	}
	summary.Out, summary.Lines, summary.Notes = m.cfg.Out, exported.Lines, exported.Notes
	return nil
}

// snapshot writes into the summary how far the run is, and what failed.
func (m *machine) snapshot(ctx context.Context, summary *Summary) (err error) {
	consumers := summary.Snapshot.Consumers
	summary.Snapshot, err = status.Take(ctx, m.store, m.conn, m.run.Name, time.Now())
	summary.Consumers = consumers
	return err
}
