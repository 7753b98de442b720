package local

import (
	"context"
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
	cfg.Export = cfg.Export.For(cfg.Spec)
	if cfg.Export.Out = cfg.Out; cfg.Out != "" {
		if err := export.Check(cfg.Export); err != nil {
			return producer.Preflight{}, export.Names{}, err
		}
	}
	observed := observedRows{of: cfg.Dataset.Open}
	data := cfg.Dataset
	data.Open = observed.open
	checked, err := producer.RunPreflight(ctx, orDefault(cfg.Run, "unnamed"), cfg.Spec, data, cfg.Checked)
	if err != nil {
		return producer.Preflight{}, export.Names{}, err
	}
	checked.Dataset = cfg.Dataset
	cfg.Export = cfg.Export.For(checked.Run.Spec)
	if cfg.Run == "" {
		checked.Run.Name = runName(checked.Run.Spec)
	}
	if cfg.Out == "" {
		cfg.Out = filepath.Join(cfg.Data, checked.Run.Name+".jsonl")
		cfg.Export.Out, cfg.Export.OwnName = cfg.Out, true
		if err := export.Check(cfg.Export); err != nil {
			return producer.Preflight{}, export.Names{}, err
		}
	}
	names, err := export.Settle(cfg.Export, observed.columns.Names())
	return checked, names, err
}

// observedRows takes the names of the columns of all rows that are read.
type observedRows struct {
	of      func() (producer.Rows, error)
	columns export.Columns
}

func (o *observedRows) open() (producer.Rows, error) {
	rows, err := o.of()
	if err != nil {
		return nil, err
	}
	return observedReader{rows, &o.columns}, nil
}

type observedReader struct {
	producer.Rows
	columns *export.Columns
}

// Next returns the next row.
func (r observedReader) Next() ([]byte, error) {
	row, err := r.Rows.Next()
	if err == nil {
		_ = r.columns.Observe(row) // what is no row is refused by the preflight
	}
	return row, err
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
	if err := sink.Export(ctx, m.store.Answers(ctx, m.run.Name), out, nil); err != nil {
		return err
	}
	exported, err := out.Commit()
	if err != nil {
		return err
	}
	consumers := summary.Snapshot.Consumers
	if summary.Snapshot, err = status.Take(ctx, m.store, nil, m.run.Name, time.Now()); err != nil {
		return err
	}
	summary.Consumers = consumers
	summary.Out, summary.Lines, summary.Notes = m.cfg.Out, exported.Lines, exported.Notes
	return nil
}
