package pipeline

import (
	"context"
	"errors"
	"time"
)

// A Delivery is a message that this process holds under a lease.
type Delivery[T any] struct {
	Body       T
	Err        error  // why Body could not be read; then it is the zero value
	Subject    string // where the message was published
	Deliveries int    // how often it was delivered, this time included; approximate
	Receipt
}

// A Receipt decides what becomes of a message that this process holds. The stream does not fence
// acks: who lost the lease may still Ack, which is harmless, but HandBack and Reject then do
// nothing and return ErrLeaseLost.
type Receipt interface {
	// Extend renews the lease from now on.
	Extend(ctx context.Context) error
	// Ack removes the message from the stream. For work, the server has confirmed that when it
	// returns nil; a lost ack of results costs a write that changes nothing.
	Ack(ctx context.Context) error
	// HandBack gives the message to the next who asks, not before the delay is over.
	HandBack(ctx context.Context, delay time.Duration) error
	// Reject removes a message that can never be used.
	Reject(ctx context.Context, reason string) error
}

// Errors that adapters return and engines decide by.
var (
	ErrNoRun       = errors.New("no such run")
	ErrNoBatch     = errors.New("no such batch")
	ErrOutstanding = errors.New("the batch is outstanding already")
	ErrFull        = errors.New("the stream is full")
	ErrLeaseLost   = errors.New("the lease ran out")
)
