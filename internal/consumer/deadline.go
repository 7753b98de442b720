package consumer

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
)

// errDeadline is why work ends that would not be done by the deadline.
var errDeadline = errors.New("the deadline is here")

const (
	maxKept  = 15 * time.Second // of the time until the deadline, for publishing and handing back
	keptPart = 20               // the part of that time, if that is less
)

// cutoff returns when what is not finished is cut, so that it is handed back by the deadline, and
// how long publishing and handing back may take after that. Without a deadline it is never.
func (c Config) cutoff() (cutoff time.Time, publishing time.Duration) {
	if c.Deadline.IsZero() {
		return time.Time{}, publishGrace
	}
	kept := min(max(time.Until(c.Deadline)/keptPart, 0), maxKept)
	return c.Deadline.Add(-kept), min(publishGrace, max(kept/2, time.Millisecond))
}

// awaitLastBatch waits until even a batch that has the GPU to itself would not end before the
// cutoff any more, and reports true, or false if ctx ends first.
func (l *lane) awaitLastBatch(ctx context.Context, cutoff, deadline time.Time) bool {
	for {
		need := l.times.Shortest(l.Slots())
		wait := time.Until(cutoff) - need
		if wait <= 0 {
			l.log.Info("the deadline is near: no more work is taken", zap.Duration("left", time.Until(deadline).Round(time.Second)),
				zap.Duration("a_batch_takes", need.Round(time.Millisecond)))
			return true
		}
		if outage.Sleep(ctx, min(wait, checkEvery)) != nil {
			return false
		}
	}
}
