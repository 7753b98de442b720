package pipeline

import (
	"errors"
	"fmt"
)

// Errors that a model's failures wrap and the engine of the GPU's side decides by.
var (
	// ErrRunnerCrashed says that the process behind the server that runs the model died while it
	// worked on the request. Each request that was in flight on the server may be the reason.
	ErrRunnerCrashed = errors.New("the model's runner crashed")
	// ErrStalled says that no token came in time. A runner that hangs is mended by its server
	// only after every request on it was given up.
	ErrStalled = errors.New("the server stalls")
	// ErrMemory says that the model does not fit, or not any more, into the memory of the GPU
	// with so many slots.
	ErrMemory = errors.New("the GPU's memory is too small")
)

// A Failure is an error with its class.
type Failure struct {
	Class Class
	Err   error
}

// Fail returns a failure of a class with a formatted message; %w wraps.
func Fail(class Class, format string, args ...any) *Failure {
	return &Failure{Class: class, Err: fmt.Errorf(format, args...)}
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// ClassOf returns the class of the first failure in err's tree, or Retryable where nobody set
// one: trying again burns a little time, giving up burns an item.
func ClassOf(err error) Class {
	var f *Failure
	if errors.As(err, &f) {
		return f.Class
	}
	return Retryable
}

// IsOutage reports whether an adapter said that the same call may succeed later. Of an error
// without a class nobody did.
func IsOutage(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Class == Retryable
}
