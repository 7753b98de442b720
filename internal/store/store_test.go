package store_test

import (
	"path/filepath"
	"testing"

	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

func TestSQLiteIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openSQLite)
}

func TestMongoDBIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openMongo)
}

func openSQLite(t testing.TB) store.Store {
	return open(t, "sqlite:"+filepath.Join(t.TempDir(), "new folder", "100% ?store#.db"))
}

func openMongo(t testing.TB) store.Store { return open(t, storetest.MongoURI(t)) }

func open(t testing.TB, uri string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
