package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gleaner/internal/pipeline"
)

func (s *sqliteStore) PutItems(ctx context.Context, items []pipeline.Item) error {
	if len(items) == 0 {
		return nil
	}
	what := fmt.Sprintf("store %d items of run %s from %d", len(items), items[0].Run, items[0].Seq)
	return s.load(ctx, what, items[0].Run, func(ctx context.Context, tx *sql.Tx, run int64) error {
		values := make([]any, 0, len(items)*itemColumns)
		for _, item := range items {
			input := item.Input
			if input == nil {
				input = []byte{} // nil would be NULL
			}
			values = append(values, itemKey(run, item.Seq), input)
		}
		return s.stmts.items.insert(ctx, tx, values)
	})
}

func (s *sqliteStore) PutBatches(ctx context.Context, batches []pipeline.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	what := fmt.Sprintf("store %d batches of run %s from %d", len(batches), batches[0].Run, batches[0].Index)
	return s.load(ctx, what, batches[0].Run, func(ctx context.Context, tx *sql.Tx, run int64) error {
		stmt := tx.StmtContext(ctx, s.stmts.insertBatch)
		for _, b := range batches {
			_, err := stmt.ExecContext(ctx, batchKey(run, b.Index), run, b.First, b.Count, string(b.State), b.Round,
				[]byte(newBits(b.Done)), len(b.Done), []byte(newBits(b.Failed)), 0, 0, millis(b.QueuedAt), millis(b.DoneAt), b.Error, b.Opinions, b.Refused, 0)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// load writes a chunk of a run's rows. It returns an error to a loader that goes on after its run
// was deleted.
func (s *sqliteStore) load(ctx context.Context, what, name string, f func(context.Context, *sql.Tx, int64) error) error {
	deleting := false
	err := s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		run, state, err := findRun(ctx, tx, name)
		if err != nil {
			return err
		}
		if deleting = state == pipeline.RunDeleting; deleting {
			return nil
		}
		return f(ctx, tx, run)
	})
	if err == nil && deleting {
		return beingDeleted(what)
	}
	return err
}

// Loaded is exact: a chunk is one transaction, and chunks are written in order.
func (s *sqliteStore) Loaded(ctx context.Context, name string) (items, batches int, err error) {
	run, err := s.run(ctx, name)
	if err != nil {
		if errors.Is(err, pipeline.ErrNoRun) {
			err = nil
		}
		return 0, 0, s.fail(ctx, err, "look for run "+name)
	}
	var item, batch sql.NullInt64
	err = s.readers.QueryRowContext(ctx,
		"SELECT (SELECT MAX(id) FROM items WHERE id >= ?1 AND id < ?2), (SELECT MAX(id) FROM batches WHERE id >= ?1 AND id < ?2)",
		run<<runShift, keyEnd(run)).Scan(&item, &batch)
	if item.Valid {
		items = keyGeneration(item.Int64).item + 1
	}
	if batch.Valid {
		batches = keyBatch(batch.Int64) + 1
	}
	return items, batches, s.fail(ctx, err, "find the last item and batch of run "+name)
}

// run returns the number of a run for reading, or ErrNoRun.
func (s *sqliteStore) run(ctx context.Context, name string) (int64, error) {
	run, _, err := findRun(ctx, s.readers, name)
	return run, err
}

func (s *sqliteStore) Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error) {
	return allItems(ctx, s, run, first, count)
}

func (s *sqliteStore) itemPage(ctx context.Context, name string, first, count int) ([]pipeline.Item, error) {
	items, err := readPage(ctx, s, name, pageQuery[pipeline.Item]{
		query: "SELECT id, input FROM items WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
		args:  func(run int64) []any { return []any{itemKey(run, first), keyEnd(run), count} },
		scan: func(rows *sql.Rows) (pipeline.Item, int, error) {
			var key int64
			item := pipeline.Item{Run: name}
			err := rows.Scan(&key, &item.Input)
			item.Seq = keyGeneration(key).item
			return item, len(item.Input), err
		},
	})
	return items, s.fail(ctx, err, fmt.Sprintf("read items of run %s from %d", name, first))
}

// pageBytes ends a page of big rows, so that memory stays small whatever the rows are.
const pageBytes = 4 << 20

// A pageQuery reads rows of a run.
type pageQuery[T any] struct {
	query string
	args  func(run int64) []any
	scan  func(*sql.Rows) (row T, sizeBytes int, err error)
}

// readPage returns the rows of a query, and stops when they have pageBytes together. It returns no
// rows for a run that does not exist.
func readPage[T any](ctx context.Context, s *sqliteStore, name string, q pageQuery[T]) ([]T, error) {
	run, err := s.run(ctx, name)
	if errors.Is(err, pipeline.ErrNoRun) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.readers.QueryContext(ctx, q.query, q.args(run)...)
	if err != nil {
		return nil, err
	}
	var page []T
	for bytes := 0; bytes < pageBytes && rows.Next(); {
		row, n, err := q.scan(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		page = append(page, row)
		bytes += n
	}
	return page, errors.Join(rows.Err(), rows.Close())
}
