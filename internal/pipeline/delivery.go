package pipeline

import (
	"context"
	"errors"
	"time"
)

// A Delivery is a message that this process holds under a lease.
type Delivery[T any] struct {
	Body       T
	Err        error  // why Body could not be read; Body is the zero value then
	Subject    string // where the message was published
	Deliveries int    // how often it was delivered, this time included; approximate
	Receipt
}

// A Receipt settles a message that this process holds. The stream does not fence acks: after the
// lease has expired Ack still works, which is harmless, but HandBack and Reject do nothing and
// return ErrLeaseLost. All three return ErrNoRun once the run is not on the stream any more.
type Receipt interface {
	// Extend renews the lease from now on.
	Extend(ctx context.Context) error
	// Ack removes the message from the stream. For work, nil means that the server has confirmed
	// it. For results it does not, since a lost ack costs no more than a write without effect.
	Ack(ctx context.Context) error
	// HandBack makes the message available again after the delay.
	HandBack(ctx context.Context, delay time.Duration) error
	// Reject removes a message that can never be used.
	Reject(ctx context.Context, reason string) error
}

// Errors that adapters return and engines decide by.
var (
	// ErrNoStreams is an ErrNoRun of a server that has none of the streams, as after it has lost its
	// disk.
	ErrNoStreams   = errors.New("the streams are not there")
	ErrNoRun       = errors.New("no such run")
	ErrCancelled   = errors.New("cancelled") // of a run
	ErrNoBatch     = errors.New("no such batch")
	ErrOutstanding = errors.New("the batch is outstanding already")
	ErrFull        = errors.New("the stream is full")
	ErrLeaseLost   = errors.New("the lease ran out")
)
