package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"gleaner/internal/pipeline"
)

// A sqliteStore keeps the ledger in a file, which several processes of one machine may have open.
// Every method that writes is one transaction, which is on disk before the method returns.
type sqliteStore struct {
	path    string
	writer  *sql.DB // one connection: SQLite allows one writer at a time, and waiting in Go costs no retries
	readers *sql.DB
	stmts   statements
	packer  *packer
}

// sqliteReaders is how many reads may go on at once. No method needs two connections at a time.
const sqliteReaders = 4

func openSQLite(ctx context.Context, path string, create bool) (Store, error) {
	what := "open the store sqlite:" + path
	path, problem := sqlitePath(path)
	if problem != "" {
		return nil, pipeline.Fail(pipeline.Fatal, "%s: %s", what, problem)
	}
	if create {
		if err := createFile(path); err != nil {
			return nil, pipeline.Fail(pipeline.Fatal, "%s: %w", what, err)
		}
	} else if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, noStore(what, "there is no such file")
	}
	s := &sqliteStore{path: path}
	if err := s.open(ctx); err != nil {
		_ = s.Close() // err is the more useful error
		class, advice := diagnoseSQLite(err)
		return nil, failure(ctx, class, what, err, advice)
	}
	return s, nil
}

// createFile makes an empty file, and its folder, for this user alone. What is there stays as it
// is, and what is wrong with the file SQLite explains better.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	if file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err == nil {
		return file.Close()
	}
	return nil
}

// sqlitePath returns the absolute path of the file, or what is wrong with it.
func sqlitePath(path string) (string, string) {
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		if !strings.HasPrefix(rest, "/") {
			return "", "write sqlite:" + rest + ", with no // before the path"
		}
		path = rest
	}
	path, problem := home(path)
	if problem != "" {
		return "", problem
	}
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return "", "the path is missing: use sqlite:PATH, a file on a local disk"
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err.Error()
	}
	if info, err := os.Stat(abs); err == nil && info.IsDir() {
		return "", "this is a folder: name a file in it, such as " + filepath.Join(path, "gleaner.db")
	}
	return abs, ""
}

// home replaces a ~ at the beginning of a path by the user's home folder, as a shell does where it
// sees one. It returns what is wrong with the path, if it cannot.
func home(path string) (string, string) {
	rest, found := strings.CutPrefix(path, "~")
	switch {
	case !found:
		return path, ""
	case rest != "" && !strings.HasPrefix(rest, "/"):
		return "", "the home folder of another user is not looked up: write the path out, as in sqlite:/home/NAME/gleaner.db"
	}
	folder, err := os.UserHomeDir()
	if err != nil {
		return "", "there is no home folder that ~ could stand for: write the path out, as in sqlite:/home/NAME/gleaner.db"
	}
	return folder + rest, ""
}

// dsn returns the driver's name for the file with the settings of one connection. SQLite keeps them
// per connection, so open cannot set them once. FULL syncs the log at each commit: an acknowledged
// write survives a power cut.
func (s *sqliteStore) dsn(more ...string) string {
	slashed := filepath.ToSlash(s.path)
	if !strings.HasPrefix(slashed, "/") { // C:/…
		slashed = "/" + slashed
	}
	query := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{
		"busy_timeout(10000)", "synchronous(FULL)", "temp_store(MEMORY)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)",
	}, more...)}
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: query.Encode()}).String()
}

func (s *sqliteStore) open(ctx context.Context) error {
	var err error
	if s.packer, err = newPacker(); err != nil {
		return err
	}
	if s.writer, err = sql.Open("sqlite", s.dsn("cache_size(-16000)")); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := s.prepareFile(ctx); err != nil {
		return err
	}
	if s.readers, err = sql.Open("sqlite", s.dsn("cache_size(-4000)", "query_only(1)")); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(sqliteReaders)
	s.readers.SetMaxIdleConns(sqliteReaders)
	if err := s.stmts.prepare(ctx, s.writer); err != nil {
		return err
	}
	return s.readers.PingContext(ctx)
}

// Marks of a file that is Gleaner's: "Glnr" as the application id, and the version of the tables.
const (
	sqliteApplication = 0x476c6e72
	sqliteVersion     = 6
)

// prepareFile creates the tables unless they exist, and upgrades those of an earlier version. It
// checks the file before it writes, so that another program's file stays as it is. Two processes
// that do this at once wait for each other.
func (s *sqliteStore) prepareFile(ctx context.Context) error {
	change, err := checkFile(ctx, s.writer)
	if err != nil {
		return err
	}
	if err := s.setWAL(ctx); err != nil || change == "" {
		return err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if change, err = checkFile(ctx, tx); err != nil || change == "" {
		return err
	}
	if _, err := tx.ExecContext(ctx, change); err != nil {
		return err
	}
	return tx.Commit()
}

// setWAL switches the file to a write-ahead log. SQLite returns "busy" while another process does
// the same, so setWAL tries again until that is over.
func (s *sqliteStore) setWAL(ctx context.Context) error {
	for {
		var mode string
		err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return errors.New("the file system cannot share memory between processes: use a file on a local disk")
		case err == nil || !busy(err):
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// checkFile returns the statements that make the tables, or bring them to this version; none if
// they are right as they are. It returns an error for a file that is neither empty nor Gleaner's.
func checkFile(ctx context.Context, db queryer) (change string, err error) {
	var application, version, tables int
	// One statement sees one state of the file, also while another process makes the tables.
	err = db.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM sqlite_schema),
		(SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version)`).Scan(&tables, &application, &version)
	switch {
	case err != nil:
		return "", err
	case application == sqliteApplication && version == sqliteVersion:
		return "", nil
	case application == sqliteApplication && version >= 1 && version < sqliteVersion:
		return strings.Join([]string{upgrade1, upgrade2, upgrade3, upgrade4, upgrade5}[version-1:], ""), nil
	case application == sqliteApplication:
		return "", fmt.Errorf("its tables have version %d, this program knows version %d: use the program that made it", version, sqliteVersion)
	case application != 0 || tables != 0:
		return "", errors.New("it is a database of another program: name another file")
	}
	return schema, nil
}

func (s *sqliteStore) Ping(ctx context.Context) error {
	var n int
	err := s.readers.QueryRowContext(ctx, "SELECT COUNT(*) FROM runs").Scan(&n)
	return s.fail(ctx, err, "read the file "+s.path)
}

func (s *sqliteStore) MayWrite(ctx context.Context) error {
	return s.write(ctx, "see whether the store can be written", func(context.Context, *sql.Tx) error { return nil })
}

func (s *sqliteStore) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writer} { // the writer last: its close writes the log back into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *sqliteStore) Answers(ctx context.Context, run string) iter.Seq2[pipeline.Answer, error] {
	return answers(ctx, s, run)
}

func (s *sqliteStore) SampleAnswers(ctx context.Context, run string, count int, random bool) ([]pipeline.Answer, error) {
	return sampleAnswers(ctx, s, run, count, random)
}

func (s *sqliteStore) ItemAnswers(ctx context.Context, run string, item int) ([]pipeline.Answer, error) {
	return itemAnswers(ctx, s, run, item)
}

// fail returns nil for nil.
func (s *sqliteStore) fail(ctx context.Context, err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pipeline.ErrNoRun):
		return noRun(what)
	}
	class, advice := diagnoseSQLite(err)
	return failure(ctx, class, what, err, advice)
}

// write runs f in a transaction that holds the file's write lock from the beginning. The context
// can end the wait for the lock and the commit, but not the single statements: checking it in each
// of them would cost more than most statements do.
func (s *sqliteStore) write(ctx context.Context, what string, f func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(ctx, err, what)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := f(context.WithoutCancel(ctx), tx); err != nil {
		return s.fail(ctx, err, what)
	}
	return s.fail(ctx, tx.Commit(), what)
}
