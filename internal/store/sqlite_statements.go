package store

import (
	"context"
	"database/sql"
	"strings"
)

// insertRows is how many rows one statement inserts if there are that many, since every statement
// has a fixed cost.
const insertRows = 32

// statements are compiled once for the writer's connection.
type statements struct {
	results, items           inserter
	insertBatch              *sql.Stmt
	selectBatch, updateBatch *sql.Stmt
}

const (
	resultColumns = 17
	itemColumns   = 2
	batchColumns  = "id, first, generations, state, round, done, failed, prompt_tokens, output_tokens, queued_at, done_at, error, opinions, refused, thinking_tokens"
)

func (s *statements) prepare(ctx context.Context, db *sql.DB) error {
	s.results.columns, s.items.columns = resultColumns, itemColumns
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.results.one, insertSQL("results", resultColumns, 1)},
		{&s.results.many, insertSQL("results", resultColumns, insertRows)},
		{&s.items.one, insertSQL("items", itemColumns, 1)},
		{&s.items.many, insertSQL("items", itemColumns, insertRows)},
		{&s.insertBatch, insertSQL("batches", 17, 1)},
		{&s.selectBatch, "SELECT " + batchColumns + " FROM batches WHERE id = ?"},
		{&s.updateBatch, `UPDATE batches SET state = ?, round = ?, done = ?, stored = ?, failed = ?, prompt_tokens = ?, output_tokens = ?,
			queued_at = ?, done_at = ?, error = ?, opinions = ?, refused = ?, thinking_tokens = ? WHERE id = ?`},
	} {
		var err error
		if *p.stmt, err = db.PrepareContext(ctx, p.query); err != nil {
			return err
		}
	}
	return nil
}

// insertSQL returns a statement that inserts rows whose keys do not exist yet.
func insertSQL(table string, columns, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	return "INSERT INTO " + table + " VALUES " + strings.TrimSuffix(strings.Repeat(row+",", rows), ",") + " ON CONFLICT (id) DO NOTHING"
}

// An inserter inserts rows into one table.
type inserter struct {
	columns   int
	one, many *sql.Stmt // one row, and insertRows rows
}

// insert inserts rows, given as the values of all of them in sequence: insertRows rows at a time,
// and the rest one by one.
func (i inserter) insert(ctx context.Context, tx *sql.Tx, values []any) error {
	one, many := tx.StmtContext(ctx, i.one), tx.StmtContext(ctx, i.many)
	for len(values) > 0 {
		stmt, n := one, i.columns
		if len(values) >= i.columns*insertRows {
			stmt, n = many, i.columns*insertRows
		}
		if _, err := stmt.ExecContext(ctx, values[:n]...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}
