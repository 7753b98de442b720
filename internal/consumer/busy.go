package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

const (
	longestWait  = 10 * time.Minute // for a server that asks to wait, however long it asks for
	busyPause    = 5 * time.Second  // at most between two tries at a server that is busy and does not say for how long
	busyPatience = 5 * time.Minute  // for such a server
	toldToAll    = 2                // requests in a row that the server asks to wait, which mean that all have to
	maxBusyWhy   = 200              // bytes of what the server says
)

// A busyWait keeps requests back while a GPU's server asks to wait. What it asks of a single
// request that one alone waits for.
type busyWait struct {
	log *zap.Logger

	mu    sync.Mutex
	until time.Time
	why   string
	told  int // requests in a row that were asked to wait
}

// Observe takes in what came of a request.
func (b *busyWait) Observe(err error) {
	after, asked := askedToWait(err)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case answered(err):
		b.told, b.until = 0, time.Time{}
	case asked:
		b.told++
		isNew := time.Now().After(b.until)
		b.until, b.why = latest(b.until, time.Now().Add(after)), text.Shorten(err.Error(), maxBusyWhy)
		if isNew {
			b.log.Warn("the server asks to wait", zap.Duration("for", after), zap.Error(err))
		}
	}
}

// askedToWait returns for how long the server asks to wait, if it says so.
func askedToWait(err error) (after time.Duration, asked bool) {
	var busy *pipeline.BusyError
	if !errors.As(err, &busy) || busy.After <= 0 {
		return 0, false
	}
	return min(busy.After, longestWait), true
}

// Left returns for how long the server still asks all requests to wait.
func (b *busyWait) Left() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told < toldToAll {
		return 0
	}
	return time.Until(b.until)
}

// Await waits while the server asks all requests to wait.
func (b *busyWait) Await(ctx context.Context) error {
	for left := b.Left(); left > 0; left = b.Left() {
		if err := outage.Sleep(ctx, left); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Says returns what people see while the server asks to wait, or nothing.
func (b *busyWait) Says() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := time.Until(b.until)
	if left <= 0 {
		return ""
	}
	return fmt.Sprintf("the server asks to wait, %s are left: %s", seconds(left), b.why)
}
