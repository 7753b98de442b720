package store_test

import (
	"database/sql"
	"testing"

	_ "modernc.org/sqlite"
)

// makeForeign makes a database that is not Gleaner's.
func makeForeign(t *testing.T, path string) {
	t.Helper()
	db := openRaw(t, path)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE contacts (name TEXT)"); err != nil {
		t.Fatal(err)
	}
}

// holdLock holds a file's write lock until release is called.
func holdLock(t *testing.T, path string) (release func()) {
	t.Helper()
	db := openRaw(t, path)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func openRaw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
