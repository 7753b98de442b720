package pipeline

import (
	"errors"
	"fmt"
	"time"
)

// Errors that the failures of a model wrap, and that decide how the consumer treats its server.
var (
	// ErrRunnerCrashed says that the process that runs the model for the server died while it
	// worked on the request. Any request that was in flight on the server may be the reason.
	ErrRunnerCrashed = errors.New("the model's runner crashed")
	// ErrDropped says that a server ended the stream of an answer before the answer, and without an
	// error. One that cannot tell why its runner failed does so; if several requests are ended at
	// once, the runner crashed.
	ErrDropped = errors.New("the stream ended before the answer")
	// ErrStalled says that no token came in time. The server restarts a hanging runner only after
	// every request to it has been cancelled.
	ErrStalled = errors.New("the server stalls")
	// ErrEndless says that an answer was cut off because it does not come to an end, so that more room
	// would only be filled as well.
	ErrEndless = errors.New("the answer does not end")
	// ErrMemory says that the model with the present number of slots does not fit into the GPU's
	// memory, or does not fit any more.
	ErrMemory = errors.New("the GPU's memory is too small")
)

// ErrNotStarted says that the server ended a request on which it had not worked yet, because its
// runner died meanwhile. It says nothing about the request, so it does not count as a try.
var ErrNotStarted = errors.New("the request was not worked on")

// A BusyError says that a server takes no request at present. It does not count as a try.
type BusyError struct {
	After time.Duration // how long the server asks to wait; 0: it does not say
	Err   error
}

// Error returns the text of Err.
func (e *BusyError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *BusyError) Unwrap() error { return e.Err }

// A ContextError says that a generation does not fit into the context of the GPU that tried it.
type ContextError struct {
	PromptTokens int // of the prompt; 0: not known
	Context      int // tokens of prompt and answer together; 0: not known
	Err          error
}

// Error returns the text of Err.
func (e *ContextError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *ContextError) Unwrap() error { return e.Err }

// A Failure is an error with its class.
type Failure struct {
	Class Class
	Err   error
}

// Fail returns a failure of a class with a formatted message; %w wraps.
func Fail(class Class, format string, args ...any) *Failure {
	return &Failure{Class: class, Err: fmt.Errorf(format, args...)}
}

// Error returns the text of Err; the class is not part of it.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// ClassOf returns the class of the first failure in err's tree, or Retryable if there is none:
// trying again costs a little time, giving up costs an item.
func ClassOf(err error) Class {
	var f *Failure
	if errors.As(err, &f) {
		return f.Class
	}
	return Retryable
}

// IsOutage reports whether an adapter classified the error as one after which the same call may
// succeed later. It is false for an error without a class.
func IsOutage(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Class == Retryable
}
