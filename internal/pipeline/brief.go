package pipeline

import (
	"errors"
	"fmt"
)

// Errors that say what is wrong with an answer that is none.
var (
	ErrEmpty   = errors.New("empty answer")
	ErrRepeats = errors.New("it repeats itself")
)

// A StatusError says with which status of HTTP a server refused a request.
type StatusError struct {
	Code int
	Err  error
}

// Error returns the text of Err.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StatusError) Unwrap() error { return e.Err }

// Brief returns a failure in a few words, for a line that says much else. The whole story is in its
// text.
func Brief(err error) string {
	for _, known := range []error{ErrEmpty, ErrRepeats, ErrEndless, ErrDropped, ErrRunnerCrashed, ErrStalled, ErrMemory} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var (
		status  *StatusError
		context *ContextError
		busy    *BusyError
	)
	switch {
	case errors.As(err, &context):
		return "too long for the context"
	case errors.As(err, &busy):
		return "the server is busy"
	case errors.As(err, &status):
		return fmt.Sprintf("the server answers %d", status.Code)
	}
	return ClassOf(err).Rule().Brief
}
