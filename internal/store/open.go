package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

// openTimeout is how long Open waits for a store to answer.
const openTimeout = 10 * time.Second

// Open opens the store that a URI names: mongodb://… and mongodb+srv://… (the database is the
// path, "gleaner" if there is none) or sqlite:PATH (a file on a local disk, created if it does
// not exist). It returns once the store has answered, or after ten seconds with an error that says
// what to check. No error holds the URI's password.
func Open(ctx context.Context, uri string) (Store, error) { return open(ctx, uri, true) }

// OpenExisting does the same and creates nothing: where there is no store yet it returns
// pipeline.ErrNoStore. MongoDB makes a database at its first write, so one that holds nothing is
// found with IsEmpty.
func OpenExisting(ctx context.Context, uri string) (Store, error) { return open(ctx, uri, false) }

func open(ctx context.Context, uri string, create bool) (Store, error) {
	limited, cancel := context.WithTimeoutCause(ctx, openTimeout, errNoAnswer)
	defer cancel()
	scheme, rest, found := strings.Cut(uri, ":")
	switch {
	case found && (scheme == "mongodb" || scheme == "mongodb+srv"):
		return openMongo(limited, uri)
	case found && scheme == "sqlite":
		return openSQLite(limited, rest, create)
	}
	return nil, pipeline.Fail(pipeline.Fatal, "the store's URI %s: use mongodb://HOST/DATABASE, mongodb+srv://USER:PASSWORD@HOST/DATABASE or sqlite:PATH", quoteScheme(scheme, found))
}

// quoteScheme names a URI that is not understood without what may be a secret in it.
func quoteScheme(scheme string, found bool) string {
	switch {
	case found && len(scheme) <= 16:
		return fmt.Sprintf("%q is not known", scheme+":…")
	case scheme == "" && !found:
		return "is not given"
	case strings.ContainsAny(scheme[:1], "/.~"): // a path holds no secret
		return fmt.Sprintf("has no scheme, write sqlite:%s", scheme)
	}
	return "has no scheme"
}

var errNoAnswer = errors.New("no answer within 10 s")

// failure returns the error of a store's method: what was being done, and either that the
// caller's context ended or why the store failed, with its class and what a person can do about
// it.
func failure(ctx context.Context, class pipeline.Class, what string, err error, advice string) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errNoAnswer) {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	if advice != "" {
		return pipeline.Fail(class, "%s: %w (%s)", what, err, advice)
	}
	return pipeline.Fail(class, "%s: %w", what, err)
}

// noRun returns the error of a method that needs a run which does not exist. It is permanent.
func noRun(what string) error {
	return pipeline.Fail(pipeline.Fatal, "%s: %w", what, pipeline.ErrNoRun)
}

// noStore returns the error of opening a store that is not there.
func noStore(what, why string) error {
	return pipeline.Fail(pipeline.Fatal, "%s: %w: %s. Check the address, `%s` makes a store", what, pipeline.ErrNoStore, why, advice.Command("load"))
}

// beingDeleted returns the error of a method that would write to a run which is being deleted.
func beingDeleted(what string) error {
	return pipeline.Fail(pipeline.Fatal, "%s: the run is being deleted: %w", what, pipeline.ErrNoRun)
}
