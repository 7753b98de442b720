package outage

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A Backoff is the time between two tries. It grows with each try and has jitter, so that many
// processes do not try at the same moment. It is for one goroutine.
type Backoff struct{ b *backoff.ExponentialBackOff }

// NewBackoff returns a backoff that starts at first and grows up to longest.
func NewBackoff(first, longest time.Duration) *Backoff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = first, longest
	return &Backoff{b}
}

// Next returns the next wait.
func (b *Backoff) Next() time.Duration { return b.b.NextBackOff() }

// Reset starts again with the first wait.
func (b *Backoff) Reset() { b.b.Reset() }

// Sleep sleeps for the next wait, or returns ctx's error if ctx ends first.
func (b *Backoff) Sleep(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Sleep sleeps for d, or returns ctx's error if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Jitter returns a random duration within a tenth of d, so that many processes do not act at the
// same moment.
func Jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
