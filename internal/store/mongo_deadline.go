package store

import (
	"context"
	"sync/atomic"
	"time"

	"gleaner/internal/outage"
)

// How long a command may take, by its kind. A command that runs out is Retryable, and the store
// goes on with a new client (see mongoClients). Where a person waits, all that are not answered
// have the patience of the context together (see outage.WithPatience).
//
//	kind                                          deadline
//	one document, ids, a conditional update       commandDeadline
//	rows that are written or read                 commandDeadline + their bytes at slowestLine
//	named reads over a whole run: Progress and    wholeRunDeadline; after commandDeadline they are
//	Digests                                       asked once more, on a new client
const (
	// commandDeadline is also how long a dead connection can hold up what uses it.
	commandDeadline  = 10 * time.Second
	wholeRunDeadline = 2 * time.Minute

	// slowestLine is the bytes in a second of the slowest line on which large commands still pass.
	slowestLine = 1 << 20

	// leftGrace is how long the commands of a client that is left may go on. Those on a good
	// connection are answered by then, and those on a dead one need not wait for their own end.
	leftGrace = 3 * time.Second
)

// deadline returns how long a command that carries this many bytes may take. A person who knows
// that the server is slower gives the URI the option timeoutMS, which replaces commandDeadline.
func (c *mongoClients) deadline(bytes int) time.Duration {
	return c.base + time.Duration(bytes)*time.Second/slowestLine
}

// replyBytes is the size of the pages that are read: few enough for a deadline near that of a small
// command, and enough for the distance to the server not to matter.
const replyBytes = 4 << 20

// replySize returns the size of a page. Where a person waits a page has to come within their
// patience, on a slow line, too.
func replySize(ctx context.Context) int {
	if outage.IsPatient(ctx) {
		return replyBytes
	}
	return replyBytes / 2
}

// A rowMeter estimates the size of a collection's documents from those that were read last, so that
// a page's deadline is known before its bytes are. The zero value is ready.
type rowMeter struct{ average atomic.Int64 }

// next returns how many rows to ask for, at most most and about this many bytes, and their
// estimated bytes.
func (r *rowMeter) next(most, size int) (rows, bytes int) {
	average := max(1<<10, int(r.average.Load()))
	rows = max(1, min(most, size/average))
	return rows, rows * average
}

// read records a page that came.
func (r *rowMeter) read(rows, bytes int) {
	if rows > 0 {
		r.average.Store(int64(bytes / rows))
	}
}

// unanswered records a page that did not come in time. The rows may be larger than they were, so
// the next page has half as many of them, and one row alone gets twice the time.
func (r *rowMeter) unanswered() {
	r.average.Store(min(maxReply, 2*max(1<<10, r.average.Load())))
}

// maxReply is the most bytes in one reply of a server.
const maxReply = 16 << 20
