package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gleaner/internal/pipeline"
)

func scanBatch(row interface{ Scan(...any) error }, name string) (batchRow, error) {
	b := batchRow{Batch: pipeline.Batch{Run: name}}
	var done, failed []byte
	var queued, doneAt int64
	err := row.Scan(&b.key, &b.First, &b.Count, &b.State, &b.Round, &done, &failed, &b.promptTokens, &b.outputTokens, &queued, &doneAt, &b.Error,
		&b.Opinions, &b.Refused, &b.thinkingTokens)
	b.Index, b.Done, b.Failed = keyBatch(b.key), bits(done).indexes(), bits(failed).indexes()
	b.QueuedAt, b.DoneAt = fromMillis(queued), fromMillis(doneAt)
	return b, err
}

func (s *sqliteStore) selectBatches(ctx context.Context, name, query string, args func(run int64) []any) ([]pipeline.Batch, error) {
	run, err := s.run(ctx, name)
	if errors.Is(err, pipeline.ErrNoRun) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return selectRows(ctx, s.readers, func(rows *sql.Rows) (pipeline.Batch, error) {
		b, err := scanBatch(rows, name)
		return b.Batch, err
	}, "SELECT "+batchColumns+" FROM batches WHERE "+query, args(run)...)
}

func (s *sqliteStore) Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error) {
	batches, err := s.selectBatches(ctx, run, "run = ? AND state = ? AND id >= ? ORDER BY id LIMIT ?",
		func(id int64) []any { return []any{id, string(state), batchKey(id, from), max(0, count)} })
	return batches, s.fail(ctx, err, fmt.Sprintf("read the %s batches of run %s", state, run))
}

func (s *sqliteStore) BatchesAt(ctx context.Context, run string, indexes []int) ([]pipeline.Batch, error) {
	var all []pipeline.Batch
	for chunk := range slices.Chunk(indexes, idChunk) {
		marks := strings.TrimSuffix(strings.Repeat("?,", len(chunk)), ",")
		batches, err := s.selectBatches(ctx, run, "id IN ("+marks+")", func(id int64) []any {
			keys := make([]any, len(chunk))
			for i, index := range chunk {
				keys[i] = batchKey(id, index)
			}
			return keys
		})
		if err != nil {
			return nil, s.fail(ctx, err, fmt.Sprintf("read %d batches of run %s", len(chunk), run))
		}
		all = append(all, batches...)
	}
	return all, nil
}

func (s *sqliteStore) MarkQueued(ctx context.Context, run string, indexes []int, at time.Time) error {
	return s.changeBatches(ctx, run, indexes, "mark as queued", func(b *batchRow) bool {
		if b.State != pipeline.Planned {
			return false
		}
		b.State, b.QueuedAt = pipeline.Queued, at
		b.State = b.Settle()
		return true
	})
}

func (s *sqliteStore) Requeue(ctx context.Context, seen pipeline.Batch, opinions int, at time.Time) (bool, error) {
	return s.swap(ctx, seen, "queue again", func(b *batchRow) {
		b.State, b.Round, b.Failed, b.Opinions, b.QueuedAt = pipeline.Queued, seen.Round+1, nil, opinions, at
	})
}

// swap changes a batch that is still in the state and round in which it was seen, and reports
// whether it was. A batch that is done never changes its state.
func (s *sqliteStore) swap(ctx context.Context, seen pipeline.Batch, what string, change func(*batchRow)) (bool, error) {
	did := false
	err := s.changeBatches(ctx, seen.Run, []int{seen.Index}, what, func(b *batchRow) bool {
		did = b.State == seen.State && b.Round == seen.Round && b.State != pipeline.Done
		if did {
			change(b)
		}
		return did
	})
	return did && err == nil, err
}

func (s *sqliteStore) Fail(ctx context.Context, run string, index, round int, failed []int, message string) (bool, error) {
	dead := false
	err := s.changeBatches(ctx, run, []int{index}, "record a failure", func(b *batchRow) bool {
		if b.State == pipeline.Done || b.Round != round {
			return false
		}
		b.Failed = newBits(append(b.Failed, failed...)).indexes()
		b.Error = message
		b.State = b.Settle()
		dead = b.State == pipeline.Dead
		return true
	})
	return dead && err == nil, err
}

func (s *sqliteStore) Drop(ctx context.Context, seen pipeline.Batch) (bool, error) {
	if seen.State != pipeline.Dead && seen.State != pipeline.Queued {
		return false, nil
	}
	return s.swap(ctx, seen, "drop", func(b *batchRow) { b.State = pipeline.Dropped })
}

func (s *sqliteStore) Refuse(ctx context.Context, run string, index, round int) (bool, error) {
	did := false
	err := s.changeBatches(ctx, run, []int{index}, "mark that its results were refused", func(b *batchRow) bool {
		if did = (b.State == pipeline.Planned || b.State == pipeline.Queued) && b.Round == round; did {
			b.Refused = round
		}
		return did
	})
	return did && err == nil, err
}

// changeBatches reads batches of a run, calls change for each, and writes back those for which it
// returns true, in one transaction. Batches that do not exist are left out.
func (s *sqliteStore) changeBatches(ctx context.Context, run string, indexes []int, what string, change func(*batchRow) bool) error {
	if len(indexes) == 0 {
		return nil
	}
	what = fmt.Sprintf("batch %s: %s", pipeline.BatchID(run, indexes[0]), what)
	return s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		id, _, err := findRun(ctx, tx, run)
		if errors.Is(err, pipeline.ErrNoRun) {
			return nil
		}
		if err != nil {
			return err
		}
		read, write := tx.StmtContext(ctx, s.stmts.selectBatch), tx.StmtContext(ctx, s.stmts.updateBatch)
		for _, index := range indexes {
			b, err := scanBatch(read.QueryRowContext(ctx, batchKey(id, index)), run)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			if !change(&b) {
				continue
			}
			if err := b.update(ctx, write); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *batchRow) update(ctx context.Context, stmt *sql.Stmt) error {
	_, err := stmt.ExecContext(ctx, string(b.State), b.Round, []byte(newBits(b.Done)), len(b.Done), []byte(newBits(b.Failed)),
		b.promptTokens, b.outputTokens, millis(b.QueuedAt), millis(b.DoneAt), b.Error, b.Opinions, b.Refused, b.thinkingTokens, b.key)
	return err
}
