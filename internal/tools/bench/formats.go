package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"

	"gleaner/internal/store"
	"gleaner/internal/view"
)

const formatsName = "formats"

// What is promised of a million rows.
const (
	readShare    = 0.5 // of DuckDB's speed
	checkTarget  = 100_000
	loadTarget   = 50_000
	exportTarget = 60_000
	renderTarget = 50_000
	memoryTarget = 100 << 20 // bytes, for any format but Parquet
)

const ourselves = "gleaner"

// Formats are what it takes to read, check, load and export datasets in each format, beside what
// libraries of Python take to read and write the same files.
type Formats struct {
	What     string       `json:"what"`
	Rows     int          `json:"rows"`
	RowBytes int          `json:"row_bytes"`
	Steps    []FormatStep `json:"steps"`
}

// A FormatStep is one step with one format, in a process of its own.
type FormatStep struct {
	Program      string  `json:"program"` // gleaner, or a library of Python with its version
	Step         string  `json:"step"`
	Format       string  `json:"format,omitempty"`
	Store        string  `json:"store,omitempty"`
	PerSecond    float64 `json:"rows_per_second"`
	PerCPUSecond float64 `json:"rows_per_cpu_second"` // 0: too little to be counted, or not known on this system
	Seconds      float64 `json:"seconds"`
	Peak         int     `json:"peak_bytes"`
	Note         string  `json:"note,omitempty"` // why nothing was measured
}

const formatsWhat = "Rows per second, per second and per second of processor time, and the peak of memory (VmHWM), each step in a process of its own.\n" +
	"Check is load --dry-run: the rows are read, checked and rendered. Load does that and then reads them again into the store; export writes them\n" +
	"with an answer for each, which fill put there. Render makes the prompt of rows in memory. Libraries read into memory, on all cores, and write\n" +
	"from there; of their times only the reading or the writing counts. Reading and writing Parquet takes memory for a row group of the file."

// A formatsConfig says what is measured.
type formatsConfig struct {
	dir     string
	rows    int
	mongoDB string // URI; empty: MongoDB is not measured
	python  string // that has the libraries; empty: they are not measured
	logf    func(string, ...any)
}

// measureFormats does every step with every format.
func measureFormats(ctx context.Context, cfg formatsConfig) (*Formats, error) {
	if err := os.MkdirAll(cfg.dir, 0o755); err != nil {
		return nil, err
	}
	f := &Formats{What: formatsWhat, Rows: cfg.rows, RowBytes: len(row(0))}
	cfg.logf("formats: writing %s in each of %s", view.Plural(cfg.rows, "row", "rows"), strings.Join(formats(), ", "))
	if err := writeFiles(cfg.dir, cfg.rows); err != nil {
		return nil, err
	}
	for _, format := range formats() {
		for _, s := range []string{stepRead, stepCheck} {
			if err := f.do(ctx, cfg, childCmd{Step: s, Format: format, Store: "sqlite:none", Name: "bench"}); err != nil {
				return nil, err
			}
		}
	}
	if err := f.do(ctx, cfg, childCmd{Step: stepRender}); err != nil {
		return nil, err
	}
	if err := f.libraries(ctx, cfg); err != nil {
		return nil, err
	}
	for _, name := range storeNames() {
		if uri := storeURI(name, cfg.dir, cfg.mongoDB); uri == "" {
			f.Steps = append(f.Steps, FormatStep{Program: ourselves, Step: stepLoad, Store: name, Note: notMeasured})
		} else if err := f.inAndOut(ctx, cfg, name, uri); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// inAndOut loads each format into a store, and exports the last run in each.
func (f *Formats) inAndOut(ctx context.Context, cfg formatsConfig, name, uri string) error {
	all := formats()
	for i, format := range all {
		c := childCmd{Step: stepLoad, Format: format, Store: uri, Name: "bench-" + strings.ToLower(ulid.Make().String())}
		err := f.do(ctx, cfg, c)
		if c.Step = stepFill; err == nil && i == len(all)-1 {
			err = f.do(ctx, cfg, c)
		}
		if c.Step = stepExport; err == nil && i == len(all)-1 {
			for _, c.Format = range all {
				if err = f.do(ctx, cfg, c); err != nil {
					break
				}
			}
		}
		if err := remove(ctx, name, uri, c.Name); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes a run from a store, which for SQLite is the file.
func remove(ctx context.Context, name, uri, run string) error {
	if path, ok := strings.CutPrefix(uri, "sqlite:"); ok {
		for _, end := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(path + end); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return nil
	}
	s, err := store.Open(ctx, uri)
	if err != nil {
		return fmt.Errorf("removing the run from %s: %w", name, err)
	}
	defer s.Close()
	return s.DeleteRun(context.WithoutCancel(ctx), run, nil)
}

// do does one step of our own in a child of this process.
func (f *Formats) do(ctx context.Context, cfg formatsConfig, c childCmd) error {
	store, _, _ := strings.Cut(c.Store, ":")
	if c.Step == stepRead || c.Step == stepCheck || c.Step == stepRender {
		store = ""
	}
	cfg.logf("formats: %s %s %s", c.Step, c.Format, store)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"child", c.Step, "--dir", cfg.dir, "--rows", fmt.Sprint(cfg.rows)}
	for flag, value := range map[string]string{"--format": c.Format, "--store": c.Store, "--run": c.Name} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	return f.measure(ctx, FormatStep{Program: ourselves, Step: c.Step, Format: c.Format, Store: store}, program, args)
}

// measure runs the step in a process of its own.
func (f *Formats) measure(ctx context.Context, s FormatStep, program string, args []string) error {
	done, err := outcomeOf(ctx, program, args)
	if err != nil {
		return fmt.Errorf("%s of %s by %s: %w", s.Step, s.Format, s.Program, err)
	}
	if done.Rows != f.Rows {
		return fmt.Errorf("%s of %s by %s: %d of %d rows", s.Step, s.Format, s.Program, done.Rows, f.Rows)
	}
	if done.Version != "" {
		s.Program += " " + done.Version
	}
	s.Seconds, s.Peak = done.Seconds, done.Peak
	s.PerSecond = float64(done.Rows) / max(done.Seconds, 1e-9)
	if done.CPU > 0 {
		s.PerCPUSecond = float64(done.Rows) / done.CPU
	}
	f.Steps = append(f.Steps, s)
	return nil
}

func (f *Formats) print(w io.Writer) {
	var rows []string
	for _, s := range f.Steps {
		if s.Note != "" {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t\t\t", s.Program, s.Step, s.Format, s.Store, s.Note))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", s.Program, s.Step, s.Format, s.Store,
			view.Count(int(s.PerSecond)), view.Count(int(s.PerCPUSecond)), byteCount(s.Peak), f.target(s)))
	}
	what := fmt.Sprintf("%s\n%s rows of %d bytes.", f.What, view.Count(f.Rows), f.RowBytes)
	table(w, formatsName, what, "PROGRAM\tSTEP\tFORMAT\tSTORE\tROWS/S\tPER CPU-S\tPEAK MEMORY\tTARGET", rows)
}

// target says what is promised of a step, and whether it is kept.
func (f *Formats) target(s FormatStep) string {
	if s.Program != ourselves || s.Step == stepFill {
		return ""
	}
	least := map[string]float64{stepCheck: checkTarget, stepLoad: loadTarget, stepExport: exportTarget, stepRender: renderTarget}[s.Step]
	if s.Step == stepRead {
		least = readShare * f.speed("duckdb", stepRead, s.Format)
	}
	var said []string
	if least > 0 {
		said = append(said, "≥ "+atLeast(s.PerSecond, float64(int(least))))
	}
	switch {
	case s.Step == stepRender || s.Format == formatParquet:
	case s.Peak == 0:
		said = append(said, "not known")
	default:
		said = append(said, below(s.Peak, memoryTarget))
	}
	return strings.Join(said, ", ")
}

// speed returns how fast another program was, 0 if it was not measured.
func (f *Formats) speed(program, step, format string) float64 {
	for _, s := range f.Steps {
		if strings.HasPrefix(s.Program, program) && s.Step == step && s.Format == format {
			return s.PerSecond
		}
	}
	return 0
}

// libraries measures the libraries of Python.
func (f *Formats) libraries(ctx context.Context, cfg formatsConfig) error {
	if cfg.python == "" {
		f.Steps = append(f.Steps, FormatStep{Program: "pandas, polars, duckdb", Step: stepRead, Note: "not measured: no LOADERS_TEST_PYTHON"})
		return nil
	}
	script := filepath.Join(cfg.dir, "libraries.py")
	if err := os.WriteFile(script, librariesPy, 0o644); err != nil {
		return err
	}
	for _, library := range []string{"duckdb", "polars", "pandas"} {
		for _, step := range []string{stepRead, "write"} {
			for _, format := range formats() {
				cfg.logf("formats: %s: %s %s", library, step, format)
				args := []string{script, library, step, format, filepath.Join(cfg.dir, "rows."+format)}
				if err := f.measure(ctx, FormatStep{Program: library, Step: step, Format: format}, cfg.python, args); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
