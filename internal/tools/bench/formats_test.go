package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gleaner/internal/needtest"
)

func TestLibrariesReadAndWriteTheRowsThatAreWritten(t *testing.T) {
	python := needtest.Env(t, "LOADERS_TEST_PYTHON", ".ci/loaders.sh provides one")
	const rows = 7
	cfg := formatsConfig{dir: t.TempDir(), rows: rows, python: python, logf: t.Logf}
	if err := writeFiles(cfg.dir, rows); err != nil {
		t.Fatal(err)
	}
	f := &Formats{Rows: rows}
	if err := f.libraries(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if len(f.Steps) != 3*2*len(formats()) {
		t.Errorf("%d steps, want reading and writing by 3 libraries in %d formats", len(f.Steps), len(formats()))
	}
	for _, s := range f.Steps {
		if name, version, _ := strings.Cut(s.Program, " "); !slices.Contains([]string{"duckdb", "polars", "pandas"}, name) || version == "" || s.PerSecond <= 0 {
			t.Errorf("%+v", s)
		}
	}
	if left, err := filepath.Glob(filepath.Join(cfg.dir, "written.*")); err != nil || len(left) > 0 {
		t.Errorf("what was written is still there: %v, %v", left, err)
	}
}

func TestWhatIsPromisedOfAFormat(t *testing.T) {
	f := &Formats{Steps: []FormatStep{{Program: "duckdb 2", Step: stepRead, Format: formatLines, PerSecond: 1000}}}
	for _, c := range []struct {
		step FormatStep
		want string
	}{
		{FormatStep{Step: stepRead, Format: formatLines, PerSecond: 500, Peak: 1}, "≥ 500 met, < 100 MiB met"},
		{FormatStep{Step: stepRead, Format: formatLines, PerSecond: 499, Peak: 1}, "≥ 500 MISSED, < 100 MiB met"},
		{FormatStep{Step: stepRead, Format: formatTable, PerSecond: 1, Peak: memoryTarget}, "< 100 MiB MISSED"}, // DuckDB was not measured
		{FormatStep{Step: stepExport, Format: formatParquet, PerSecond: 60_000, Peak: 1 << 40}, "≥ 60,000 met"}, // a row group is in memory
		{FormatStep{Step: stepFill, PerSecond: 1, Peak: 1}, ""},
	} {
		c.step.Program = ourselves
		if got := f.target(c.step); got != c.want {
			t.Errorf("%+v: %q, want %q", c.step, got, c.want)
		}
	}
}
