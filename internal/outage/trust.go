package outage

import (
	"errors"
	"sync/atomic"

	"gleaner/internal/pipeline"
)

// A Trust is that a server has worked for this process. One that then refuses for good may have
// been changed for a moment, by a person or by a restart, so its refusal is an outage like any
// other. The zero value trusts nothing. It may be used by many goroutines.
type Trust struct{ worked atomic.Bool }

// Ends reports whether an outcome ends the caller's work: a refusal by a server that has never
// worked, or what no server has to do with. Nil means that it has worked now.
func (t *Trust) Ends(err error) bool {
	if err == nil {
		t.worked.Store(true)
		return false
	}
	var f *pipeline.Failure
	switch {
	case pipeline.IsOutage(err):
		return false
	case errors.Is(err, pipeline.ErrNoRun), !errors.As(err, &f), f.Class != pipeline.Fatal:
		return true
	}
	return !t.worked.Load()
}
