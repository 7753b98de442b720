package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"gleaner/internal/dataset/parquet"
)

// The formats that are measured, which are the ends of the files' names.
const (
	formatLines   = "jsonl"
	formatTable   = "csv"
	formatParquet = "parquet"
)

func formats() []string { return []string{formatLines, formatTable, formatParquet} }

// librariesPy reads or writes a file with a library of Python and prints a childOutcome.
//
//go:embed libraries.py
var librariesPy []byte

// writeFiles writes the same rows in each format.
func writeFiles(dir string, count int) (err error) {
	var flush []func() error
	create := func(format string) (io.Writer, error) {
		file, err := os.Create(filepath.Join(dir, "rows."+format))
		if err != nil {
			return nil, err
		}
		out := bufio.NewWriterSize(file, 1<<20)
		flush = append(flush, func() error { return errors.Join(out.Flush(), file.Close()) })
		return out, nil
	}
	lines, err := create(formatLines)
	if err != nil {
		return err
	}
	csvFile, err := create(formatTable)
	if err != nil {
		return err
	}
	parquetFile, err := create(formatParquet)
	if err != nil {
		return err
	}
	table := csv.NewWriter(csvFile)
	if err := table.Write([]string{"question", "answer"}); err != nil {
		return err
	}
	var schema parquet.Schema
	if err := schema.Observe(row(0)); err != nil { // all have the same columns
		return err
	}
	columns, err := parquet.NewWriter(parquetFile, &schema)
	if err != nil {
		return err
	}
	for seq := range count {
		made := row(seq)
		var r struct{ Question, Answer string }
		if err := json.Unmarshal(made, &r); err != nil {
			return err
		}
		_, err := lines.Write(append(made, '\n'))
		if err = errors.Join(err, table.Write([]string{r.Question, r.Answer}), columns.Write(made)); err != nil {
			return err
		}
	}
	table.Flush()
	err = errors.Join(table.Error(), columns.Close())
	for _, f := range flush {
		err = errors.Join(err, f())
	}
	return err
}

// outcomeOf runs a program that does one step, and returns what it prints of it.
func outcomeOf(ctx context.Context, program string, args []string) (done childOutcome, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &done)
	}
	if err != nil {
		return done, fmt.Errorf("in a process of its own: %w", err)
	}
	return done, nil
}
