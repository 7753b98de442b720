package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/pipeline"
)

const runColumns = "name, uid, spec, state, items, generations, batches, created_at, longest_prompt, pins, key, pause"

func (s *sqliteStore) CreateRun(ctx context.Context, run pipeline.Run) (stored pipeline.Run, created bool, err error) {
	run.State = pipeline.RunLoading
	spec, err := pipeline.Encode(run.Spec)
	if err != nil {
		return pipeline.Run{}, false, err
	}
	pins, err := pipeline.Encode(run.Pins)
	if err != nil {
		return pipeline.Run{}, false, err
	}
	err = s.write(ctx, "create run "+run.Name, func(ctx context.Context, tx *sql.Tx) error {
		if err := makeIdentity(ctx, tx); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO runs ("+runColumns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,'') ON CONFLICT (name) DO NOTHING",
			run.Name, run.UID, string(spec), string(run.State), run.Items, run.Generations, run.Batches, millis(run.CreatedAt), run.LongestPrompt, string(pins), append([]byte{}, run.Key...)) // nil would be NULL
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		created = n == 1
		stored, err = scanRun(tx.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE name = ?", run.Name))
		return err
	})
	if err != nil {
		return pipeline.Run{}, false, err
	}
	return stored, created, nil
}

// makeIdentity gives the store an id unless it has one.
func makeIdentity(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO store (key, id, created_at) VALUES (1, ?, ?) ON CONFLICT (key) DO NOTHING", rand.Text(), millis(time.Now()))
	return err
}

func scanRun(row interface{ Scan(...any) error }) (pipeline.Run, error) {
	var run pipeline.Run
	var spec, pins, key, pause []byte
	var created int64
	if err := row.Scan(&run.Name, &run.UID, &spec, &run.State, &run.Items, &run.Generations, &run.Batches, &created, &run.LongestPrompt, &pins, &key, &pause); err != nil {
		return pipeline.Run{}, err
	}
	run.CreatedAt = fromMillis(created)
	if len(key) > 0 {
		run.Key = key
	}
	if len(pins) > 0 {
		if err := json.Unmarshal(pins, &run.Pins); err != nil {
			return pipeline.Run{}, err
		}
	}
	if len(pause) > 0 {
		if err := json.Unmarshal(pause, &run.Pause); err != nil {
			return pipeline.Run{}, err
		}
	}
	return run, json.Unmarshal(spec, &run.Spec)
}

func (s *sqliteStore) Pin(ctx context.Context, run string, engine pipeline.EngineName, from, to string) (pinned string, err error) {
	what := fmt.Sprintf("pin run %s", run)
	err = s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		stored, err := scanRun(tx.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE name = ?", run))
		if errors.Is(err, sql.ErrNoRows) {
			return noRun(what)
		}
		if pinned = stored.Pins[engine]; err != nil || pinned != from {
			return err
		}
		if stored.Pins == nil {
			stored.Pins = map[pipeline.EngineName]string{}
		}
		stored.Pins[engine] = to
		pins, err := pipeline.Encode(stored.Pins)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE runs SET pins = ? WHERE name = ?", string(pins), run)
		pinned = to
		return err
	})
	if err != nil {
		return "", err
	}
	return pinned, nil
}

func (s *sqliteStore) Pause(ctx context.Context, name, uid string, pause pipeline.RunPause) error {
	return s.changePause(ctx, "pause run "+name, pipeline.Run{Name: name, UID: uid}, func(run pipeline.Run) *pipeline.RunPause {
		if run.Paused() {
			return nil
		}
		return &pause
	})
}

func (s *sqliteStore) Resume(ctx context.Context, name, uid string, at time.Time) error {
	return s.changePause(ctx, "resume run "+name, pipeline.Run{Name: name, UID: uid}, func(run pipeline.Run) *pipeline.RunPause {
		if !run.Paused() {
			return nil
		}
		ended := *run.Pause
		ended.Ended = at
		return &ended
	})
}

// changePause replaces the pause of a load of a run if it is open and there is another one.
func (s *sqliteStore) changePause(ctx context.Context, what string, known pipeline.Run, another func(pipeline.Run) *pipeline.RunPause) error {
	return s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		run, err := scanRun(tx.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE name = ?", known.Name))
		if errors.Is(err, sql.ErrNoRows) {
			return noRun(what)
		}
		if err != nil || run.UID != known.UID || run.State != pipeline.RunOpen {
			return err
		}
		pause := another(run)
		if pause == nil {
			return nil
		}
		pause.Since, pause.Ended = fromMillis(millis(pause.Since)), fromMillis(millis(pause.Ended))
		text, err := pipeline.Encode(pause)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE runs SET pause = ? WHERE name = ?", string(text), known.Name)
		return err
	})
}

// millis and fromMillis keep a time to the millisecond, as MongoDB does, and the zero time as 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (s *sqliteStore) Run(ctx context.Context, name string) (pipeline.Run, error) {
	run, err := scanRun(s.readers.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return pipeline.Run{}, noRun("run " + name)
	}
	return run, s.fail(ctx, err, "read run "+name)
}

func (s *sqliteStore) Runs(ctx context.Context) ([]pipeline.Run, error) {
	runs, err := selectRows(ctx, s.readers, func(rows *sql.Rows) (pipeline.Run, error) { return scanRun(rows) },
		"SELECT "+runColumns+" FROM runs ORDER BY name")
	return runs, s.fail(ctx, err, "read all runs")
}

func (s *sqliteStore) CountRuns(ctx context.Context, state pipeline.RunState) (n int, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT count(*) FROM runs WHERE state = ?", string(state)).Scan(&n)
	return n, s.fail(ctx, err, "count the runs")
}

func (s *sqliteStore) Seal(ctx context.Context, name string, batches int) error {
	return s.write(ctx, "seal run "+name, func(ctx context.Context, tx *sql.Tx) error {
		if _, _, err := findRun(ctx, tx, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE runs SET state = ?, batches = ? WHERE name = ? AND state = ?",
			string(pipeline.RunOpen), batches, name, string(pipeline.RunLoading))
		return err
	})
}

func (s *sqliteStore) Cancel(ctx context.Context, name string) error {
	return s.write(ctx, "cancel run "+name, func(ctx context.Context, tx *sql.Tx) error {
		if _, _, err := findRun(ctx, tx, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE runs SET state = ? WHERE name = ? AND state IN (?, ?)",
			string(pipeline.RunCancelled), name, string(pipeline.RunLoading), string(pipeline.RunOpen))
		return err
	})
}

// findRun returns the number and state of a run, or ErrNoRun.
func findRun(ctx context.Context, db queryer, name string) (int64, pipeline.RunState, error) {
	var id int64
	var state pipeline.RunState
	err := db.QueryRowContext(ctx, "SELECT id, state FROM runs WHERE name = ?", name).Scan(&id, &state)
	if errors.Is(err, sql.ErrNoRows) {
		err = pipeline.ErrNoRun
	}
	return id, state, err
}

// DeleteRun removes rows in transactions of at most deleteChunk rows, so that other writers are not
// blocked for long.
func (s *sqliteStore) DeleteRun(ctx context.Context, name string, progress func(int)) error {
	var run int64
	err := s.write(ctx, "mark run "+name+" as deleting", func(ctx context.Context, tx *sql.Tx) (err error) {
		if run, _, err = findRun(ctx, tx, name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE runs SET state = ? WHERE id = ?", string(pipeline.RunDeleting), run)
		return err
	})
	if err != nil {
		return err
	}
	removed := 0
	for _, table := range []string{"batches", "results", "items"} {
		for n := deleteChunk; n == deleteChunk; {
			n, err = s.deleteChunk(ctx, table, name, run)
			if err != nil {
				return err
			}
			removed += n
			if progress != nil && n > 0 {
				progress(removed)
			}
		}
	}
	err = s.write(ctx, "delete run "+name, func(ctx context.Context, tx *sql.Tx) error {
		gone, err := tx.ExecContext(ctx, "DELETE FROM runs WHERE id = ? AND state = ?", run, string(pipeline.RunDeleting))
		if err != nil {
			return err
		}
		if n, err := gone.RowsAffected(); err != nil || n == 0 { // another process has finished the same
			return err
		}
		consumers, err := tx.ExecContext(ctx, "DELETE FROM consumers WHERE run = ?", name)
		if err != nil {
			return err
		}
		n, err := consumers.RowsAffected()
		removed += int(n) + 1
		return err
	})
	if err == nil && progress != nil {
		progress(removed)
	}
	return err
}

func (s *sqliteStore) deleteChunk(ctx context.Context, table, name string, run int64) (int, error) {
	var n int64
	err := s.write(ctx, "delete the "+table+" of run "+name, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx,
			"DELETE FROM "+table+" WHERE id IN (SELECT id FROM "+table+" WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)",
			run<<runShift, keyEnd(run), deleteChunk)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return int(n), err
}

// selectRows returns all rows of a query.
func selectRows[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	var all []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		all = append(all, row)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}
