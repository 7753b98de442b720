package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"gleaner/internal/view"
)

const loadName = "load"

const memoryTarget = 150 << 20 // bytes, whatever the number of rows

// A Load is what it takes to load a dataset into SQLite and to export it with an answer for each
// row.
type Load struct {
	What         string     `json:"what"`
	MemoryTarget int        `json:"memory_target_bytes"`
	Steps        []LoadStep `json:"steps"`
}

// A LoadStep is one step with this number of rows, in a process of its own.
type LoadStep struct {
	Step      string  `json:"step"`
	Rows      int     `json:"rows"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"rows_per_second"`
	Peak      int     `json:"peak_bytes"` // of the process's memory (VmHWM); 0 = not known on this system
}

const loadWhat = "Rows per second and peak memory (VmHWM) of loading a JSON Lines file into SQLite (examined first, then written) and of exporting it\n" +
	"with an answer for each row, each in a process of its own. Fill writes the answers in between, a thousand at a time."

// measureLoad measures a tenth of the rows, then all of them.
func measureLoad(ctx context.Context, dir string, count int, logf func(string, ...any)) (*Load, error) {
	l := &Load{What: loadWhat, MemoryTarget: memoryTarget}
	for _, n := range []int{max(count/10, 1), count} {
		here := filepath.Join(dir, fmt.Sprint(n))
		if err := os.MkdirAll(here, 0o755); err != nil {
			return nil, err
		}
		if err := writeRows(filepath.Join(here, inputFile), n); err != nil {
			return nil, err
		}
		for _, step := range []string{"load", "fill", "export"} {
			logf("load: %s of %s", step, view.Plural(n, "row", "rows"))
			s := LoadStep{Step: step, Rows: n}
			if err := s.measure(ctx, here); err != nil {
				return nil, err
			}
			l.Steps = append(l.Steps, s)
		}
		if err := os.RemoveAll(here); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func writeRows(path string, count int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	for seq := range count {
		if _, err := out.Write(append(row(seq), '\n')); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// measure runs the step in a child of this process: the same program with the hidden command.
func (s *LoadStep) measure(ctx context.Context, dir string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "child", s.Step, "--dir", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s in a child process: %w", s.Step, err)
	}
	var done childOutcome
	if err := json.Unmarshal(out, &done); err != nil {
		return fmt.Errorf("%s in a child process: %w", s.Step, err)
	}
	if done.Rows != s.Rows {
		return fmt.Errorf("%s: %d of %d rows", s.Step, done.Rows, s.Rows)
	}
	s.Seconds, s.PerSecond, s.Peak = done.Seconds, float64(done.Rows)/max(done.Seconds, 1e-9), done.Peak
	return nil
}

func (l *Load) print(w io.Writer) {
	var rows []string
	for _, s := range l.Steps {
		target := ""
		switch {
		case s.Step == "fill":
		case s.Peak == 0:
			target = "not known"
		default:
			target = below(s.Peak, l.MemoryTarget)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%.1f s\t%s\t%s", s.Step, view.Count(s.Rows), view.Count(int(s.PerSecond)), s.Seconds, byteCount(s.Peak), target))
	}
	what := fmt.Sprintf("%s Rows of %d bytes.", l.What, len(row(0)))
	table(w, "load and export", what, "STEP\tROWS\tROWS/S\tTIME\tPEAK MEMORY\tTARGET", rows)
}
