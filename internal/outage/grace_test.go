package outage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAGraceBeginsWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("stopped")
		ctx, stop := context.WithCancelCause(t.Context())
		graced, cancel := WithGrace(ctx, 10*time.Second)
		defer cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		if graced.Err() != nil {
			t.Fatal("it ended before its context")
		}
		stop(cause)
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		if graced.Err() != nil {
			t.Fatal("it ended before the grace was over")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !errors.Is(context.Cause(graced), cause) {
			t.Errorf("ended with %v, want the cause of its context", context.Cause(graced))
		}
	})
}

func TestAGraceThatIsCancelledLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		ctx, stop := context.WithCancel(t.Context())
		graced, cancel := WithGrace(ctx, time.Hour)
		stop()
		synctest.Wait()
		cancel()
		if graced.Err() == nil {
			t.Error("it goes on")
		}
	})
}
