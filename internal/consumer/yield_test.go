package consumer

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestALaneKeepsOutOfTheWayOfWhatItPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 8
		ctx, cancel := context.WithCancel(t.Context())
		y := newYield()
		var asking atomic.Int32
		for range workers {
			go func() {
				for ctx.Err() == nil {
					ask, done := y.Ask(ctx)
					asking.Add(1)
					<-ask.Done()
					asking.Add(-1)
					done()
				}
			}()
		}
		began := time.Now()
		want := func(after time.Duration, n int32) {
			t.Helper()
			time.Sleep(time.Until(began.Add(after)))
			synctest.Wait()
			if got := asking.Load(); got != n {
				t.Errorf("after %s %d ask, want %d", time.Since(began), got, n)
			}
		}
		want(time.Second, workers)
		y.Passed(time.Second)
		want(1500*time.Millisecond, 1)
		want(1950*time.Millisecond, 0) // the message is due
		want(2950*time.Millisecond, 0)
		want(3050*time.Millisecond, 1)
		y.Passed(30 * time.Second)
		y.Passed(35 * time.Second) // at the same time
		want(32*time.Second, 1)
		want(33*time.Second, 0)
		want(47*time.Second, 0)
		want(49*time.Second, 1)
		want(2*time.Minute, 1)
		want(3*time.Minute, workers)
		y.Passed(time.Second)
		want(3*time.Minute+500*time.Millisecond, 1)
		cancel()
	})
}
