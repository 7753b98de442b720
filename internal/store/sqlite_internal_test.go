package store

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

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
