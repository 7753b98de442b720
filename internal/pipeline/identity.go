package pipeline

import (
	"errors"
	"fmt"
	"time"
)

// A GoneError says that a run was deleted, also where another one has its name since. It is an
// ErrNoRun.
type GoneError struct {
	Run      string
	LoadedAt time.Time // when the run was loaded that has the name now; zero: none has
}

// Error names the run, and the one that has taken its place.
func (e *GoneError) Error() string {
	if e.LoadedAt.IsZero() {
		return fmt.Sprintf("run %s was deleted", e.Run)
	}
	return fmt.Sprintf("run %s was deleted; a new run of that name was loaded at %s", e.Run, e.LoadedAt.UTC().Format("2006-01-02 15:04:05 MST"))
}

// Is reports whether target is ErrNoRun.
func (e *GoneError) Is(target error) bool { return target == ErrNoRun }

// StillThere takes what a store says now of a run that was known before, and returns a Fatal
// failure with a GoneError if it is another run or none, or the store's own error. What a run is
// known by is its uid: a name may be given again.
func (r Run) StillThere(now Run, err error) error {
	switch {
	case errors.Is(err, ErrNoRun):
		return Fail(Fatal, "%w", &GoneError{Run: r.Name})
	case err != nil:
		return err
	case now.UID != r.UID:
		return Fail(Fatal, "%w", &GoneError{Run: r.Name, LoadedAt: now.CreatedAt})
	}
	return nil
}

// RunNews is what the consumers of a run are told at once, since they look only now and then. It
// may get lost: then they find it out by looking.
type RunNews struct {
	UID  string `json:"uid"`
	What News   `json:"what"`
}

// News is a kind of RunNews.
type News string

const (
	NewsPublished News = "published" // batches of it are on the queue
	NewsComplete  News = "complete"  // no more work will come
	NewsCancelled News = "cancelled"
	NewsDeleted   News = "deleted"
	// NewsMissed takes the place of what may have been said while there was no connection. No one
	// sends it.
	NewsMissed News = "missed"
)
