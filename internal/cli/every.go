package cli

import (
	"context"
	"sync"
	"time"
)

// Every calls report once in each period until ctx ends or the function that it returns is
// called, which waits for a call that goes on. With a period of 0 it is never called.
func Every(ctx context.Context, period time.Duration, report func()) (stop func()) {
	if period <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var reporting sync.WaitGroup
	reporting.Go(func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				report()
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); reporting.Wait() }
}
