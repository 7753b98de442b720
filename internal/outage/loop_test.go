package outage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

func loop() (*Loop, func() []string) {
	core, logs := observer.New(zap.DebugLevel)
	l := &Loop{Log: zap.New(core), Away: "the store is away", Back: "the store is back"}
	return l, func() (lines []string) {
		for _, e := range logs.All() {
			lines = append(lines, e.Message)
		}
		return lines
	}
}

func TestALoopTriesAgainThroughAnOutageAndSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := loop()
		tries, began := 0, time.Now()
		err := l.Do(t.Context(), func(context.Context) error {
			if tries++; tries < 8 {
				return pipeline.Fail(pipeline.Retryable, "connection %d refused", tries)
			}
			return nil
		})
		if err != nil || tries != 8 {
			t.Errorf("%d tries, %v", tries, err)
		}
		if diff := cmp.Diff([]string{"the store is away", "the store is back"}, lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("seven waits took %s", took)
		}
	})
}

func TestALoopEndsWithAnErrorThatAPersonHasToMend(t *testing.T) {
	l, lines := loop()
	quota := pipeline.Fail(pipeline.Fatal, "over the quota")
	if err := l.Do(t.Context(), func(context.Context) error { return quota }); !errors.Is(err, quota) {
		t.Errorf("got %v", err)
	}
	l.Stops = func(error) bool { return false }
	tries := 0
	err := l.Do(t.Context(), func(context.Context) error {
		if tries++; tries == 1 {
			return quota
		}
		return nil
	})
	if err != nil || len(lines()) != 2 {
		t.Errorf("a loop that nothing ends: %v, log %q", err, lines())
	}
}

func TestALoopStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := loop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := l.Do(ctx, func(context.Context) error { return pipeline.Fail(pipeline.Retryable, "away") })
		if !errors.Is(err, context.DeadlineExceeded) || len(lines()) != 1 {
			t.Errorf("got %v, log %q", err, lines())
		}
	})
}

func TestACallerWithAnotherClockPausesByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, pauses := time.Now(), 0
		loop := Loop{Log: zap.NewNop(), Pause: func(context.Context) error {
			if pauses++; pauses == 3 {
				return errors.New("the clock stands still")
			}
			return nil
		}}
		err := loop.Do(t.Context(), func(context.Context) error { return pipeline.Fail(pipeline.Retryable, "away") })
		if err == nil || err.Error() != "the clock stands still" || pauses != 3 || !time.Now().Equal(began) {
			t.Errorf("%v after %d pauses and %s", err, pauses, time.Since(began))
		}
	})
}
