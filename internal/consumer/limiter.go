package consumer

import (
	"context"
	"slices"
	"sync"
)

// A limiter bounds how many are in use at a time, first come, first served. An exclusive
// acquisition waits until nothing else is in use, and keeps those behind it waiting meanwhile.
type limiter struct {
	onChange func(inUse, limit int) // called under the lock with every change, so it has to be quick; may be nil

	mu        sync.Mutex
	limit     int
	inUse     int
	exclusive bool // the one in use excludes all others
	queue     []*waiter
}

type waiter struct {
	exclusive bool
	acquired  chan struct{} // closed when it is its turn
}

// Acquire waits until one more may be in use, or returns ctx's error. The caller has to call
// Release.
func (l *limiter) Acquire(ctx context.Context) error { return l.acquire(ctx, false) }

// AcquireAlone waits until nothing else is in use, and keeps it so until Release is called, or
// returns ctx's error.
func (l *limiter) AcquireAlone(ctx context.Context) error { return l.acquire(ctx, true) }

func (l *limiter) acquire(ctx context.Context, exclusive bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{exclusive, make(chan struct{})}
	l.mu.Lock()
	l.queue = append(l.queue, w)
	l.admit()
	l.mu.Unlock()
	select {
	case <-w.acquired:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, w); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
	} else { // its turn came at the same moment
		l.release()
	}
	l.admit()
	return ctx.Err()
}

// Release makes room for the next one.
func (l *limiter) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
	l.admit()
}

// SetLimit changes how many may be in use. If more are in use now, the next one waits until
// enough of them were released.
func (l *limiter) SetLimit(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
	l.admit()
}

// InUse returns how many are in use and how many may be.
func (l *limiter) InUse() (inUse, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inUse, l.limit
}

// The methods below are called with the mutex held.

func (l *limiter) release() {
	l.inUse--
	l.exclusive = false
}

// admit gives those at the head of the queue their turn for whom there is room, and reports the
// change.
func (l *limiter) admit() {
	for len(l.queue) > 0 {
		w := l.queue[0]
		if l.exclusive || w.exclusive && l.inUse > 0 || l.inUse >= l.limit {
			break
		}
		l.queue = l.queue[1:]
		l.inUse++
		l.exclusive = w.exclusive
		close(w.acquired)
	}
	if l.onChange == nil {
		return
	}
	if l.exclusive { // the others are kept waiting: that is not the same as a limit of one
		l.onChange(0, l.limit)
		return
	}
	l.onChange(l.inUse, l.limit)
}
