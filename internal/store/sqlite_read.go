package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/pipeline"
)

func (s *sqliteStore) Progress(ctx context.Context, name string, since time.Time) (pipeline.Progress, error) {
	what := "count the batches of run " + name
	run, err := s.run(ctx, name)
	if errors.Is(err, pipeline.ErrNoRun) {
		return sum(nil), nil
	}
	if err != nil {
		return pipeline.Progress{}, s.fail(ctx, err, what)
	}
	counts, err := selectRows(ctx, s.readers, scanCount,
		`SELECT state, COUNT(*), SUM(generations), SUM(stored), SUM(prompt_tokens), SUM(output_tokens), SUM(thinking_tokens), MIN(NULLIF(done_at, 0)), MAX(done_at),
			SUM(iif(done_at >= ?1, generations, 0)), SUM(iif(done_at >= ?1, output_tokens, 0)), SUM(refused > 0)
			FROM batches WHERE id >= ?2 AND id < ?3 GROUP BY state`,
		max(1, millis(since)), run<<runShift, keyEnd(run))
	return sum(counts), s.fail(ctx, err, what)
}

func scanCount(rows *sql.Rows) (stateCount, error) {
	var c stateCount
	var first, last sql.NullInt64
	err := rows.Scan(&c.State, &c.Batches, &c.Generations, &c.Stored, &c.PromptTokens, &c.OutputTokens, &c.ThinkingTokens, &first, &last, &c.RecentGenerations, &c.RecentTokens, &c.Refused)
	c.FirstDone, c.LastDone = fromMillis(first.Int64), fromMillis(last.Int64)
	return c, err
}

func (s *sqliteStore) Digests(ctx context.Context, name string) ([]pipeline.DigestCount, error) {
	what := "count the digests of run " + name
	run, err := s.run(ctx, name)
	if errors.Is(err, pipeline.ErrNoRun) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fail(ctx, err, what)
	}
	counts, err := selectRows(ctx, s.readers, func(rows *sql.Rows) (pipeline.DigestCount, error) {
		var c pipeline.DigestCount
		err := rows.Scan(&c.Engine, &c.Digest, &c.Answers)
		return c, err
	}, "SELECT engine, digest, COUNT(*) FROM results WHERE id >= ? AND id < ? GROUP BY engine, digest", run<<runShift, keyEnd(run))
	return mostFirst(counts), s.fail(ctx, err, what)
}

func (s *sqliteStore) resultPage(ctx context.Context, name string, from generation, count int) ([]pipeline.StoredResult, error) {
	results, err := readPage(ctx, s, name, pageQuery[pipeline.StoredResult]{
		query: "SELECT * FROM results WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
		args:  func(run int64) []any { return []any{resultKey(run, from), keyEnd(run), count} },
		scan: func(rows *sql.Rows) (pipeline.StoredResult, int, error) {
			var r pipeline.StoredResult
			var key, created int64
			var reasoning any
			err := rows.Scan(&key, &r.Batch, &r.Index, &r.Round, &r.Text, &r.Finish, &r.Seed, &r.PromptTokens, &r.OutputTokens, &r.DurationMS,
				&r.Consumer, &r.GPU, &created, &r.Engine, &r.Digest, &reasoning, &r.ThinkingTokens)
			if err == nil {
				r.Reasoning, err = s.packer.unpack(reasoning)
			}
			g := keyGeneration(key)
			r.Item, r.Sample, r.CreatedAt = g.item, g.sample, fromMillis(created)
			return r, len(r.Text) + len(r.Reasoning), err
		},
	})
	return results, s.fail(ctx, err, fmt.Sprintf("read results of run %s from item %d", name, from.item))
}

func (s *sqliteStore) lastResult(ctx context.Context, name string) (generation, error) {
	run, err := s.run(ctx, name)
	var key int64
	if err == nil {
		err = s.readers.QueryRowContext(ctx, "SELECT id FROM results WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1", run<<runShift, keyEnd(run)).Scan(&key)
	}
	return keyGeneration(key), s.fail(ctx, err, "find the last result of run "+name)
}

func (s *sqliteStore) PutConsumers(ctx context.Context, consumers []pipeline.Presence) error {
	if len(consumers) == 0 {
		return nil
	}
	return s.write(ctx, fmt.Sprintf("store %d consumers", len(consumers)), func(ctx context.Context, tx *sql.Tx) error {
		for _, c := range consumers {
			body, err := pipeline.Encode(c)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO consumers VALUES (?, ?, ?, ?)", c.ID, c.Run, millis(c.Seen), string(body))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sqliteStore) Consumers(ctx context.Context, run string, since time.Time) ([]pipeline.Presence, error) {
	consumers, err := selectRows(ctx, s.readers, func(rows *sql.Rows) (pipeline.Presence, error) {
		var c pipeline.Presence
		var body []byte
		err := rows.Scan(&body)
		if err != nil {
			return c, err
		}
		return c, json.Unmarshal(body, &c)
	}, "SELECT body FROM consumers WHERE (?1 = '' OR run = ?1) AND seen >= ?2 ORDER BY id", run, millis(since))
	return consumers, s.fail(ctx, err, "read the consumers of run "+run)
}
