package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestSlotsAreTakenAwayWhileTheCoresAreUsedUpAndComeBack(t *testing.T) {
	o := newOverload(800, func() int { return 800 }, nil, zap.NewNop())
	now := time.Unix(0, 0)
	decide := func(late, lag time.Duration) int {
		now = now.Add(lookFor)
		o.decide(now, late, lag)
		return o.allowed
	}
	if got := o.Of(8); got != 1 {
		t.Errorf("at first a lane has %d slots", got)
	}
	for range 4 {
		decide(0, 0)
	}
	if o.allowed != 800 || o.Of(8) != 8 {
		t.Fatalf("after 2 s there are %d slots", o.allowed)
	}
	if got := decide(tooLate, 0); got != 600 || o.Of(8) != 6 {
		t.Errorf("when everything is late there are %d", got)
	}
	if got := decide(tooLate, 0); got != 600 {
		t.Errorf("before what is in progress has ended there are %d", got)
	}
	now = now.Add(settleTime)
	if got := decide(0, lagTooLong); got != 450 {
		t.Errorf("when answers are stored late there are %d", got)
	}
	now = now.Add(settleTime)
	if got := decide(inTime+1, 0); got != 450 {
		t.Errorf("while it is tight there are %d", got)
	}
	for range 60 {
		decide(0, 0)
	}
	if o.allowed != 800 {
		t.Errorf("half a minute later there are %d", o.allowed)
	}
}

func TestAFewSlotsAreNeverTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lag := func() time.Duration { t.Error("something is measured"); return time.Hour }
		o := newOverload(16, func() int { return 16 }, lag, zap.NewNop())
		o.Run(t.Context(), func() { t.Error("slots are taken away") })
		if got := o.Of(8); got != 8 {
			t.Errorf("a lane has %d slots", got)
		}
	})
}
