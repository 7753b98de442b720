package outage

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A Backoff is the time between two tries: longer each time, with jitter, so that many processes
// do not come at once. It is for one goroutine.
type Backoff struct{ b *backoff.ExponentialBackOff }

// NewBackoff returns a backoff that begins with the first wait and grows up to the longest.
func NewBackoff(first, longest time.Duration) *Backoff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = first, longest
	return &Backoff{b}
}

// Next returns the next wait.
func (b *Backoff) Next() time.Duration { return b.b.NextBackOff() }

// Reset begins with the first wait again.
func (b *Backoff) Reset() { b.b.Reset() }

// Sleep waits for the next wait, or returns ctx's error if that ends first.
func (b *Backoff) Sleep(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Sleep waits for d, or returns ctx's error if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Jitter returns d, more or less a tenth of it, so that many processes do not act at the same
// moment.
func Jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
