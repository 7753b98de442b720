package outage

import (
	"context"
	"sync"
	"time"
)

// A patience is how long a command that a person waits for may still wait for servers that do not
// answer, all its calls together.
type patience struct {
	outer *patience // of the command, where this is a part of one; may be nil

	mu   sync.Mutex
	left time.Duration
}

type patienceKey struct{}

// leastPatience is what each call may wait even when the patience is used up: another server than
// the one that is away answers by then.
const leastPatience = 250 * time.Millisecond

// WithPatience returns a context whose calls to servers wait for at most this long, all together,
// for answers that do not come. Calls that are answered take nothing of it, so what has much to do
// may last for any time. Within a context that has a patience this one is a part of that.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	outer, _ := ctx.Value(patienceKey{}).(*patience)
	return context.WithValue(ctx, patienceKey{}, &patience{outer: outer, left: d})
}

// Allowed returns how long a call may wait for its answer, that otherwise might wait for within.
func Allowed(ctx context.Context, within time.Duration) time.Duration {
	p, _ := ctx.Value(patienceKey{}).(*patience)
	for ; p != nil; p = p.outer {
		p.mu.Lock()
		within = min(within, max(p.left, leastPatience))
		p.mu.Unlock()
	}
	return within
}

// Waited takes from the patience, if there is one, how long a call waited that got no answer.
func Waited(ctx context.Context, d time.Duration) {
	p, _ := ctx.Value(patienceKey{}).(*patience)
	for ; p != nil; p = p.outer {
		p.mu.Lock()
		p.left -= d
		p.mu.Unlock()
	}
}

// IsPatient reports whether a context has no patience that ends: its calls may wait for as long as
// their kind does.
func IsPatient(ctx context.Context) bool { return ctx.Value(patienceKey{}) == nil }

// IsOver reports whether the patience is used up.
func IsOver(ctx context.Context) bool { return Allowed(ctx, time.Hour) <= leastPatience }
