package store

import (
	"context"
	"database/sql"
	"strings"
)

// insertRows is how many rows one statement inserts where there are that many: each statement has
// a cost of its own.
const insertRows = 32

// statements are compiled once for the writer's connection.
type statements struct {
	insertResult, insertResults *sql.Stmt
	insertItem, insertItems     *sql.Stmt
	insertBatch                 *sql.Stmt
	selectBatch, updateBatch    *sql.Stmt
}

const (
	resultColumns = 13
	itemColumns   = 2
	batchColumns  = "id, first, generations, state, round, done, failed, prompt_tokens, output_tokens, queued_at, done_at, error"
)

func (s *statements) prepare(ctx context.Context, db *sql.DB) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.insertResult, insertSQL("results", resultColumns, 1)},
		{&s.insertResults, insertSQL("results", resultColumns, insertRows)},
		{&s.insertItem, insertSQL("items", itemColumns, 1)},
		{&s.insertItems, insertSQL("items", itemColumns, insertRows)},
		{&s.insertBatch, insertSQL("batches", 14, 1)},
		{&s.selectBatch, "SELECT " + batchColumns + " FROM batches WHERE id = ?"},
		{&s.updateBatch, `UPDATE batches SET state = ?, round = ?, done = ?, stored = ?, failed = ?, prompt_tokens = ?, output_tokens = ?,
			queued_at = ?, done_at = ?, error = ? WHERE id = ?`},
	} {
		var err error
		if *p.stmt, err = db.PrepareContext(ctx, p.query); err != nil {
			return err
		}
	}
	return nil
}

// insertSQL inserts rows whose key is not there yet.
func insertSQL(table string, columns, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	return "INSERT INTO " + table + " VALUES " + strings.TrimSuffix(strings.Repeat(row+",", rows), ",") + " ON CONFLICT (id) DO NOTHING"
}

// insert inserts rows whose values stand one after the other, many at a time with one statement,
// the rest one by one.
func insert(ctx context.Context, tx *sql.Tx, many, one *sql.Stmt, columns int, values []any) error {
	many, one = tx.StmtContext(ctx, many), tx.StmtContext(ctx, one)
	for len(values) > 0 {
		stmt, n := one, columns
		if len(values) >= columns*insertRows {
			stmt, n = many, columns*insertRows
		}
		if _, err := stmt.ExecContext(ctx, values[:n]...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}
