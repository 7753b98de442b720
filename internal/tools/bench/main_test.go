package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"gleaner/internal/cli"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" { // started by the benchmark of formats
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestAQuickRunMeasuresEverything(t *testing.T) {
	report := quick(t)
	if report.Machine.Cores == 0 || report.Machine.Go == "" || report.Machine.OS == "" {
		t.Errorf("machine %+v", report.Machine)
	}
	if report.KeepBusy == nil || report.Command == nil || report.Capacity == nil || report.Formats == nil {
		t.Fatalf("a benchmark is missing: %+v", report)
	}
	for _, r := range report.KeepBusy.Runs {
		if r.Use <= 0 || r.Use > 1 || r.Bound < r.Static || r.Bound > 1 || r.Ratio <= 0 || r.Seconds <= 0 || r.StoredSeconds <= 0 || r.IdleTail <= 0 {
			t.Errorf("keep-busy: %+v", r)
		}
	}
	for _, r := range report.Command.Runs {
		if r.Ideal <= 0 || r.Ratio <= 0 || r.Ratio > 1 || r.Asked <= 0 || r.Asked > r.Answered || r.Answered > r.Seconds || r.IdleStart <= 0 || r.IdleTail <= 0 {
			t.Errorf("command: %+v", r)
		}
	}
	if n := len(report.Command.Runs); n != 2 {
		t.Errorf("command has %d runs, want gleaner run and the three programs", n)
	}
	if n := len(report.KeepBusy.Runs); n != 8 {
		t.Errorf("keep-busy has %d runs, want 2 and 20 GPUs, near and far", n)
	}
	measured := 0
	for _, r := range report.Capacity.Runs {
		if r.Note == "" && r.PerSecond > 0 && r.Seconds > 0 {
			measured++
		} else if r.Store != "mongodb" || r.Note != notMeasured {
			t.Errorf("capacity: %+v", r)
		}
	}
	if len(report.Capacity.Runs) != 4 || measured != 2 {
		t.Errorf("capacity has %d runs with %d measured, want SQLite and a note for MongoDB, for two ways to sync", len(report.Capacity.Runs), measured)
	}
	if n := len(report.Capacity.Parts); n != 9 {
		t.Errorf("capacity has %d parts, want 6 of NATS, 2 stores and JSON", n)
	}
	for _, p := range report.Capacity.Parts {
		if p.PerSecond <= 0 && p.Note == "" {
			t.Errorf("part: %+v", p)
		}
	}
	if n := len(report.Idle.Programs); n != 3 {
		t.Errorf("idle has %d programs", n)
	}
	measured = 0
	for _, s := range report.Formats.Steps {
		switch {
		case s.Note == "" && s.PerSecond > 0:
			measured++
		case s.Note == "":
			t.Errorf("formats: %+v", s)
		}
	}
	// Three formats are read, checked, loaded and exported, one run is filled, a prompt is rendered.
	if measured != 4*3+2 {
		t.Errorf("formats has %d steps that were measured, want 14: %+v", measured, report.Formats.Steps)
	}
}

// quick runs the program and returns what it wrote.
func quick(t *testing.T) Report {
	t.Helper()
	t.Setenv("MONGODB_URI", "")
	t.Setenv("LOADERS_TEST_PYTHON", "")
	out := filepath.Join(t.TempDir(), "bench.json")
	var shown, said bytes.Buffer
	terminal := &cli.Terminal{In: new(bytes.Buffer), Out: &shown, Err: &said}
	args := []string{"--quick", "--out", out, "--dir", t.TempDir()}
	if code := cli.Run(context.Background(), "bench", description, &commands{}, args, terminal); code != cli.Done {
		t.Fatalf("exit code %d\n%s%s", code, shown.String(), said.String())
	}
	for _, title := range []string{"KEEP-BUSY", "COMMAND", "CAPACITY", "FORMATS", "IDLE", notMeasured} {
		if !bytes.Contains(shown.Bytes(), []byte(title)) {
			t.Errorf("%q is not in what is printed:\n%s", title, shown.String())
		}
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var report Report
	if err := decoder.Decode(&report); err != nil {
		t.Fatal(err)
	}
	return report
}
