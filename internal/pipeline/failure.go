package pipeline

import (
	"errors"
	"fmt"
)

// A Class says what is to be done about a failure. It is set once, where the failure happens.
type Class string

// The classes of failure.
const (
	Interrupted   Class = "interrupted"   // shutdown or deadline: hand the batch back at once, no attempt is counted
	Retryable     Class = "retryable"     // try here again with backoff, then let another GPU try
	BadItem       Class = "bad-item"      // this prompt will never work: no retry
	Truncated     Class = "truncated"     // the answer was cut off by the length: once more with twice the room
	Degenerate    Class = "degenerate"    // the answer is empty or repeats itself: once more with another seed
	Poison        Class = "poison"        // it crashed the runner twice, alone
	Undeliverable Class = "undeliverable" // delivered too often without an outcome
	Fatal         Class = "fatal"         // nothing can be generated on this GPU until a person mends it
)

// Errors that a model's failures wrap and the engine of the GPU's side decides by.
var (
	// ErrRunnerCrashed says that the process behind the server that runs the model died while it worked on the
	// request. Each request that was in flight on the server may be the reason.
	ErrRunnerCrashed = errors.New("the model's runner crashed")
	// ErrStalled says that no token came in time. A runner that hangs is mended by its server only after every
	// request on it was given up.
	ErrStalled = errors.New("the server stalls")
	// ErrMemory says that the model does not fit, or not any more, into the memory of the GPU with so many slots.
	ErrMemory = errors.New("the GPU's memory is too small")
)

// IsOutcome reports whether a failure of this class is the last word on a generation in its round: it goes into a
// dead letter. What fails in another way is tried again.
func (c Class) IsOutcome() bool {
	switch c {
	case BadItem, Truncated, Degenerate, Poison, Undeliverable:
		return true
	}
	return false
}

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

// ClassOf returns the class of the first failure in err's tree, or Retryable where nobody set one: trying again
// burns a little time, giving up burns an item.
func ClassOf(err error) Class {
	var f *Failure
	if errors.As(err, &f) {
		return f.Class
	}
	return Retryable
}

// IsOutage reports whether an adapter said that the same call may succeed later. Of an error without a class nobody did.
func IsOutage(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Class == Retryable
}
