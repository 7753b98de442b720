package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestSQLiteErrorsHaveAClass(t *testing.T) {
	for _, c := range []struct {
		name, pragma string
		class        pipeline.Class
		advice       string
	}{
		{"a full disk", "max_page_count = 1", pipeline.Retryable, "the disk is full"},
		{"a file that must not be written", "query_only = 1", pipeline.Fatal, "must be allowed to write"},
		{"a lock that another holds", "busy_timeout = 1", pipeline.Retryable, "another process holds the file's lock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			uri := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
			s, other := openInternal(t, uri), openInternal(t, uri)
			if _, err := s.writer.ExecContext(t.Context(), "PRAGMA "+c.pragma); err != nil {
				t.Fatal(err)
			}
			if c.pragma == "busy_timeout = 1" {
				tx, err := other.writer.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback() }()
			}
			_, _, err := s.CreateRun(t.Context(), pipeline.Run{Name: "a", UID: strings.Repeat("x", 1<<16)})
			t.Log(err)
			if err == nil || pipeline.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.advice) || !strings.Contains(err.Error(), "create run a: ") {
				t.Errorf("got a %s error %v", pipeline.ClassOf(err), err)
			}
		})
	}
}

func TestSQLiteSyncsEachCommit(t *testing.T) {
	s := openInternal(t, "sqlite:"+filepath.Join(t.TempDir(), "store.db"))
	var journal string
	var synchronous, readerMayWrite int
	for query, into := range map[string]any{"PRAGMA journal_mode": &journal, "PRAGMA synchronous": &synchronous} {
		if err := s.writer.QueryRowContext(t.Context(), query).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.readers.QueryRowContext(t.Context(), "PRAGMA query_only").Scan(&readerMayWrite); err != nil {
		t.Fatal(err)
	}
	if journal != "wal" || synchronous != 2 || readerMayWrite != 1 {
		t.Errorf("journal %s, synchronous %d, query_only of a reader %d", journal, synchronous, readerMayWrite)
	}
}

// downgrades take from the tables what each version brought, the last version first.
func downgrades() []string {
	return []string{
		"ALTER TABLE batches DROP COLUMN thinking_tokens; ALTER TABLE results DROP COLUMN thinking_tokens",
		"ALTER TABLE runs DROP COLUMN pause",
		"ALTER TABLE results DROP COLUMN reasoning",
		"ALTER TABLE runs DROP COLUMN key; DROP TABLE store",
		"ALTER TABLE results DROP COLUMN digest; ALTER TABLE results DROP COLUMN engine; ALTER TABLE batches DROP COLUMN refused; " +
			"ALTER TABLE batches DROP COLUMN opinions; ALTER TABLE runs DROP COLUMN pins; ALTER TABLE runs DROP COLUMN longest_prompt",
	}
}

func TestAFileOfEachEarlierVersionGoesOn(t *testing.T) {
	for version := 1; version < sqliteVersion; version++ {
		uri := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
		s, err := Open(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		run := pipeline.Run{Name: "a", UID: "u", Items: 2, Generations: 2, Spec: pipeline.Spec{Model: "m", Samples: 1, Batch: 2}}
		if _, _, err := s.CreateRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		answered := func(s Store, index int) {
			r := pipeline.Result{Index: index, Item: index, Text: "42", Finish: "stop", OutputTokens: 9, ThinkingTokens: 5, CreatedAt: time.UnixMilli(1)}
			written, err := s.WriteResults(t.Context(), []pipeline.Results{{Run: "a", UID: "u", Round: 1, Results: []pipeline.Result{r}}}, time.UnixMilli(2))
			if err != nil || written.New != 1 {
				t.Fatalf("version %d: %+v, %v", version, written, err)
			}
		}
		if err := s.PutBatches(t.Context(), []pipeline.Batch{{Run: "a", Count: 2, State: pipeline.Queued, Round: 1}}); err != nil {
			t.Fatal(err)
		}
		answered(s, 0)
		made := tables(t, s)
		for _, down := range append(downgrades()[:sqliteVersion-version:sqliteVersion-version], fmt.Sprintf("PRAGMA user_version = %d", version)) {
			if _, err := s.(*sqliteStore).writer.ExecContext(t.Context(), down); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openInternal(t, uri)
		if diff := cmp.Diff(made, tables(t, s)); diff != "" {
			t.Errorf("the tables of version %d (-made now +brought up to this version):\n%s", version, diff)
		}
		answered(s, 1)
		p, err := s.Progress(t.Context(), "a", time.Time{})
		if err != nil || p.Stored != 2 || p.OutputTokens != 18 || p.ThinkingTokens != 5 || p.Batches[pipeline.Done] != 1 {
			t.Errorf("version %d: %+v, %v", version, p, err)
		}
	}
}

// tables returns the columns of all tables, as a statement sees them.
func tables(t *testing.T, s Store) (all []string) {
	t.Helper()
	rows, err := s.(*sqliteStore).readers.QueryContext(t.Context(),
		"SELECT m.name, c.cid, c.name, c.type, ifnull(c.dflt_value, '') FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var at int
		var table, name, kind, value string
		if err := rows.Scan(&table, &at, &name, &kind, &value); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintln(table, at, name, kind, value))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func openInternal(t *testing.T, uri string) *sqliteStore {
	t.Helper()
	s, err := Open(context.Background(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*sqliteStore)
}
