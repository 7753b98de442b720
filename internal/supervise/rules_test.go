package supervise

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

func TestAServerThatFallsToTheSpeedOfACPUIsFound(t *testing.T) {
	var m speedMonitor
	now, chunks := time.Now(), int64(0)
	m.begin(now, chunks)
	// run returns how many windows of such a speed it takes until it is called slow, of at most
	// ten.
	run := func(perSecond, inFlight int) int {
		for i := range 10 {
			for range 30 {
				now, chunks = now.Add(time.Second), chunks+int64(perSecond)
				if m.isSlow(now, chunks, inFlight) {
					return i + 1
				}
			}
		}
		return 0
	}
	for i, step := range []struct{ perSecond, inFlight, want int }{
		{200, 8, 0},
		{40, 1, 0}, // with one request it is slower, of course
		{60, 8, 0}, // not yet a quarter
		{20, 8, 4},
		{0, 0, 0}, // nothing to do
		{150, 8, 0},
		{9, 1, 4},
	} {
		if got := run(step.perSecond, step.inFlight); got != step.want {
			t.Errorf("step %d: slow after %d windows, want %d", i, got, step.want)
		}
		m.begin(now, chunks)
	}
}

func TestARunnerThatCrashesAgainAndAgainEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(nil)
		crash := pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrRunnerCrashed)
		crashes := func(n int, apart time.Duration) {
			reported := 0
			for range n {
				for range 8 { // all that were in flight
					s.begin()
					if s.end(crash) {
						reported++
					}
				}
				time.Sleep(apart)
			}
			if reported != n {
				t.Errorf("%d crashes were reported as %d", n, reported)
			}
		}
		crashes(20, 2*time.Minute)
		if len(s.failed) != 0 {
			t.Fatalf("rare crashes: %v", <-s.failed)
		}
		time.Sleep(crashWindow)
		crashes(maxCrashes, 10*time.Second)
		if len(s.failed) != 1 || !errors.Is(<-s.failed, errCrashes) {
			t.Error("many crashes are not found")
		}
	})
}

func TestTheDelayBeforeARestartGrowsAndIsForgottenAfterGoodService(t *testing.T) {
	died := errors.New("died")
	var p restartPolicy
	var delays []time.Duration
	for _, answers := range []int{0, 0, 0, 100, 0, 0, 0} {
		delays = append(delays, p.decide(died, service{answers: answers}, 8).delay)
	}
	want := []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Second, 5 * time.Second, 15 * time.Second, time.Minute}
	if diff := cmp.Diff(want, delays); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := p.decide(died, service{}, 8); !d.giveUp {
		t.Error("after five failures in a row it goes on")
	}
	slots := 8
	p = restartPolicy{}
	var got []int
	for range 6 {
		d := p.decide(pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrMemory), service{answers: 500}, slots)
		slots = d.slots
		got = append(got, slots)
	}
	if !slices.Equal(got, []int{8, 4, 4, 4, 4, 4}) || p.failures < maxFailures {
		t.Errorf("slots %v, %d failures", got, p.failures)
	}
}

func TestHealthChecksHaveDefaultsAndBounds(t *testing.T) {
	got, err := HealthChecks{}.withDefaults()
	if want := (HealthChecks{PingEvery: 5 * time.Second}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, checks := range []HealthChecks{{PingEvery: 1}, {PingEvery: -time.Second}} {
		if _, err := checks.withDefaults(); err == nil {
			t.Errorf("%+v is accepted", checks)
		}
	}
}
