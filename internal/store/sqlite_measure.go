package store

import (
	"context"
	"database/sql"
	"errors"

	"gleaner/internal/pipeline"
)

// measureEvery is the time, in milliseconds, whose answers are one span of work: answers follow
// each other closely while there is work, and so the spans of a month have room in memory.
const measureEvery = 10_000

func (s *sqliteStore) Measure(ctx context.Context, name string) (pipeline.Measures, error) {
	what := "measure the answers of run " + name
	run, err := s.run(ctx, name)
	if errors.Is(err, pipeline.ErrNoRun) {
		return pipeline.Measures{}, nil
	}
	if err != nil {
		return pipeline.Measures{}, s.fail(ctx, err, what)
	}
	lengths, err := selectRows(ctx, s.readers, func(rows *sql.Rows) (pipeline.LengthCount, error) {
		var l pipeline.LengthCount
		err := rows.Scan(&l.Tokens, &l.Answers, &l.Thought)
		return l, err
	}, "SELECT output_tokens, COUNT(*), SUM(length(reasoning) > 0) FROM results WHERE id >= ? AND id < ? GROUP BY output_tokens", run<<runShift, keyEnd(run))
	if err != nil {
		return pipeline.Measures{}, s.fail(ctx, err, what)
	}
	spans, err := selectRows(ctx, s.readers, func(rows *sql.Rows) (pipeline.Span, error) {
		var begin, end int64
		err := rows.Scan(&begin, &end)
		return pipeline.Span{Begin: fromMillis(begin), End: fromMillis(end)}, err
	}, "SELECT MIN(created_at - duration_ms), MAX(created_at) FROM results WHERE id >= ?1 AND id < ?2 GROUP BY created_at / ?3", run<<runShift, keyEnd(run), measureEvery)
	return pipeline.Measure(lengths, spans), s.fail(ctx, err, what)
}
