package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

// WriteResults is one transaction, so a result is stored if and only if its batch lists it as done.
// It therefore reads the batches to find duplicates: reading 125 batches is cheaper than looking up
// 1,000 results.
func (s *sqliteStore) WriteResults(ctx context.Context, messages []pipeline.Results, at time.Time) (pipeline.Written, error) {
	if len(messages) == 0 {
		return pipeline.Written{}, nil
	}
	w := resultWriter{stmts: &s.stmts, packer: s.packer, at: at, runs: map[string]int64{}}
	what := fmt.Sprintf("store %d messages of results of run %s", len(messages), messages[0].Run)
	err := s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error { return w.write(ctx, tx, messages) })
	if err != nil {
		return pipeline.Written{}, err
	}
	return w.written, nil
}

// A resultWriter is the state of one WriteResults.
type resultWriter struct {
	packer  *packer
	stmts   *statements
	at      time.Time
	runs    map[string]int64
	values  []any // of the new results, row after row
	written pipeline.Written
}

func (w *resultWriter) write(ctx context.Context, tx *sql.Tx, messages []pipeline.Results) error {
	read, update := tx.StmtContext(ctx, w.stmts.selectBatch), tx.StmtContext(ctx, w.stmts.updateBatch)
	count := 0
	for _, m := range messages {
		count += len(m.Results)
	}
	w.values = make([]any, 0, count*resultColumns)
	batches := make(map[int64]*batchRow, len(messages))
	for _, m := range messages {
		b, err := w.batch(ctx, tx, read, batches, m)
		if err != nil {
			return err
		}
		if b != nil { // else the run was deleted while the results were in transit
			w.add(b, m)
		}
	}
	if err := w.stmts.results.insert(ctx, tx, w.values); err != nil {
		return err
	}
	for _, b := range batches {
		if b == nil {
			continue
		}
		if err := b.update(ctx, update); err != nil {
			return err
		}
	}
	return nil
}

// batch returns the batch of a message, or nil if it is not there.
func (w *resultWriter) batch(ctx context.Context, tx *sql.Tx, read *sql.Stmt, batches map[int64]*batchRow, m pipeline.Results) (*batchRow, error) {
	run, ok := w.runs[m.Run]
	if !ok {
		var err error
		run, _, err = findRun(ctx, tx, m.Run)
		if errors.Is(err, pipeline.ErrNoRun) {
			err, run = nil, 0 // no run has this number
		}
		if err != nil {
			return nil, err
		}
		w.runs[m.Run] = run
	}
	key := batchKey(run, m.Batch)
	if b, ok := batches[key]; ok {
		return b, nil
	}
	b, err := scanBatch(read.QueryRowContext(ctx, key), m.Run)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		batches[key] = nil
		return nil, nil
	case err != nil:
		return nil, err
	}
	batches[key] = &b
	return &b, nil
}

// add takes the new results of a message and settles their batch.
func (w *resultWriter) add(b *batchRow, m pipeline.Results) {
	run := w.runs[m.Run]
	for _, r := range m.Results {
		at, found := slices.BinarySearch(b.Done, r.Index)
		if found {
			w.written.Duplicate++
			continue
		}
		w.written.New++
		b.Done = slices.Insert(b.Done, at, r.Index)
		b.promptTokens += r.PromptTokens
		b.outputTokens += r.OutputTokens
		b.thinkingTokens += r.ThinkingTokens
		w.values = append(w.values, resultKey(run, generation{r.Item, r.Sample}), m.Batch, r.Index, m.Round, r.Text, r.Finish, r.Seed,
			r.PromptTokens, r.OutputTokens, r.DurationMS, m.Consumer, m.GPU, millis(r.CreatedAt), string(m.Engine), m.Digest, w.packer.pack(r.Reasoning), r.ThinkingTokens)
	}
	before := b.State
	b.State = b.Settle()
	if b.State == pipeline.Done && before != pipeline.Done {
		b.DoneAt = w.at
	}
}
