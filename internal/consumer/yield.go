package consumer

import (
	"context"
	"sync"
	"time"

	"gleaner/internal/outage"
)

const (
	yieldFor  = 2 * time.Minute        // after the last message that a lane passed on
	yieldLead = 100 * time.Millisecond // before a message is due, when the lane gets out of its way
	yieldMost = 10 * time.Second       // after that
)

// A yield keeps a lane out of the way of messages that another GPU has to try. The queue gives a
// message to the pull that waits the longest. So a lane that has passed a message on asks for work
// with one worker at a time, which is as fast as long as it gets work that it may do. And it does
// not ask at all while a message is due that it must not have, so that others find it. What it
// asked for before stays on the queue for a while: a message that comes of that is handed back,
// with a rest, and the next pull is another GPU's.
type yield struct {
	turn chan struct{} // holds a value while a worker asks

	mu    sync.Mutex
	news  context.Context // ends when a message is passed on
	tell  context.CancelFunc
	until time.Time // when it yields no more
	due   []span    // in which it does not ask
}

type span struct{ from, to time.Time }

func newYield() *yield {
	y := &yield{turn: make(chan struct{}, 1)}
	y.news, y.tell = context.WithCancel(context.Background())
	return y
}

// Yields reports whether the lane yields.
func (y *yield) Yields() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return time.Now().Before(y.until)
}

// Passed takes in a message that the lane has handed back with a delay.
func (y *yield) Passed(delay time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	due := time.Now().Add(delay)
	y.due = append(y.open(), span{due.Add(-yieldLead), due.Add(min(max(delay, time.Second), yieldMost))})
	y.until = due.Add(yieldFor)
	y.tell()
	y.news, y.tell = context.WithCancel(context.Background())
}

// open returns the spans that are not over. The caller holds mu.
func (y *yield) open() (open []span) {
	for _, s := range y.due {
		if time.Now().Before(s.to) {
			open = append(open, s)
		}
	}
	return open
}

// next returns for how long the lane must not ask, and if that is 0 for how long it may.
func (y *yield) next() (wait, left time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.due = y.open()
	left = yieldFor
	for _, s := range y.due {
		if until := time.Until(s.from); until > 0 {
			left = min(left, until)
		} else {
			wait = max(wait, time.Until(s.to))
		}
	}
	return wait, left
}

// Ask waits until a worker may ask for work. It may do so until the context ends that is returned,
// and then has to call done, once or more.
func (y *yield) Ask(ctx context.Context) (asking context.Context, done func()) {
	for ctx.Err() == nil {
		if !y.Yields() {
			return y.ask(ctx, 0)
		}
		timer := time.NewTimer(time.Second) // it may be over meanwhile
		select {
		case y.turn <- struct{}{}:
			timer.Stop()
			wait, left := y.next()
			for ; wait > 0 && outage.Sleep(ctx, wait) == nil; wait, left = y.next() {
			}
			asking, cancel := y.ask(ctx, left)
			return asking, sync.OnceFunc(func() { cancel(); <-y.turn })
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return ctx, func() {}
}

// ask returns a context that ends when a message is passed on, or after some time; 0 is no limit.
func (y *yield) ask(ctx context.Context, left time.Duration) (asking context.Context, done func()) {
	asking, cancel := context.WithCancel(ctx)
	if left > 0 {
		timer := time.AfterFunc(left, cancel)
		context.AfterFunc(asking, func() { timer.Stop() })
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	stop := context.AfterFunc(y.news, cancel)
	return asking, func() { stop(); cancel() }
}
