package store

import (
	"context"
	"errors"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"gleaner/internal/pipeline"
)

// sqliteCode returns SQLite's primary result code, or 0 if err is not SQLite's.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // the higher bits refine the same reason
	}
	return 0
}

func busy(err error) bool {
	code := sqliteCode(err)
	return code == lib.SQLITE_BUSY || code == lib.SQLITE_LOCKED
}

// diagnoseSQLite returns the class of an error and what a person can do about it. A lock, a lack of
// memory or a full disk may pass; every other reason lies in the file, the disk or this program,
// and is permanent.
func diagnoseSQLite(err error) (pipeline.Class, string) {
	const locked = "another process holds the file's lock"
	if errors.Is(err, context.DeadlineExceeded) {
		return pipeline.Retryable, locked
	}
	switch sqliteCode(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return pipeline.Retryable, locked
	case lib.SQLITE_NOMEM, lib.SQLITE_INTERRUPT, lib.SQLITE_SCHEMA:
		return pipeline.Retryable, ""
	case lib.SQLITE_FULL:
		return pipeline.Retryable, "the disk is full: make room; what is stored can still be read"
	case lib.SQLITE_CORRUPT:
		return pipeline.Fatal, "the file is damaged: restore it from a backup, or move it away and load the run again"
	case lib.SQLITE_NOTADB:
		return pipeline.Fatal, "this is not a SQLite file: name another one"
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
		return pipeline.Fatal, "this process must be allowed to write the file and its folder"
	case lib.SQLITE_IOERR:
		return pipeline.Fatal, "check the disk and its free space"
	}
	return pipeline.Fatal, ""
}
