package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// busy is the failure of a server that takes no request.
func busy(after time.Duration) error {
	return pipeline.Fail(pipeline.Retryable, "%w", &pipeline.BusyError{After: after, Err: errors.New("429 usage limit on http://a")})
}

func TestAServerThatAsksToWaitIsGivenTheTimeAndNoTryIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		open := w.begin.Add(4 * time.Minute)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if time.Now().Before(open) {
				return pipeline.Completion{}, busy(time.Minute)
			}
			return talks(ctx, r, time.Second, time.Second, 2)
		}}
		for i := range 16 {
			w.add(i, 1, fmt.Sprint(i))
		}
		r, logs := w.watched(config(), LaneConfig{Backend: m, Slots: 8})
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := len(m.asked()); n > 8 {
			t.Errorf("%d requests while the server asks to wait", n)
		}
		if detail := r.Snapshot().GPUs[0].Detail; detail != "the server asks to wait, 30 s are left: 429 usage limit on http://a" {
			t.Errorf("it says %q", detail)
		}
		time.Sleep(5 * time.Minute)
		if acks, dead, back := len(w.only("ack")), len(w.only("dead")), len(w.only("hand-back")); acks != 16 || dead+back != 0 {
			t.Errorf("%d of 16 batches are done, %d dead letters, %d handed back", acks, dead, back)
		}
		if n := logs.FilterMessage("the server asks to wait").Len(); n < 1 || n > 5 {
			t.Errorf("%d lines about it", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// One that is asked to wait leaves its slot to the others.
func TestARequestThatIsAskedToWaitDoesNotKeepTheOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
			if r.Prompt() == "slow" && try == 1 {
				return pipeline.Completion{}, busy(time.Minute)
			}
			return talks(ctx, r, time.Second, time.Second, 2)
		}}
		w.add(1, 1, "slow")
		for i := range 20 {
			w.add(2+i, 1, "fine")
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(45 * time.Second)
		if n := len(w.only("ack")); n != 20 {
			t.Errorf("%d of 20 others are done", n)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatIsBusyForLongGetsItsBatchesTakenBack(t *testing.T) {
	for name, after := range map[string]time.Duration{"it does not say for how long": 0, "it asks for ever longer": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := &fakeModel{answer: func(context.Context, int, pipeline.Request) (pipeline.Completion, error) {
					return pipeline.Completion{}, busy(after)
				}}
				w.add(1, 1, "p")
				r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 2})
				time.Sleep(4 * time.Minute)
				if diff := cmp.Diff([]string{"take"}, w.story(1)); diff != "" {
					t.Errorf("after four minutes (-want +got):\n%s", diff)
				}
				time.Sleep(20 * time.Minute)
				synctest.Wait()
				w.handedBack(1)
				if g := r.Snapshot().GPUs[0]; g.State != pipeline.GPUHeld || !strings.Contains(g.Detail, "it is busy") && !strings.Contains(g.Detail, "429") {
					t.Errorf("it says %q", g.Describe())
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAServerThatAsksToWaitInPlaceOfAWordIsNotAskedAgainAndAgain(t *testing.T) {
	for name, c := range map[string]struct {
		failure error
		within  time.Duration // until the batch is handed back
	}{
		"after a crash":  {errCrash, 10 * time.Minute},
		"after failures": {pipeline.Fail(pipeline.Retryable, "an error"), 19 * time.Minute}, // the generation waits as well
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := &fakeModel{answer: func(_ context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
					if isCanary(r) {
						return pipeline.Completion{}, busy(9 * time.Minute)
					}
					return pipeline.Completion{}, c.failure
				}}
				w.add(1, 1, "p")
				r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 2})
				time.Sleep(c.within)
				synctest.Wait()
				if diff := cmp.Diff([]string{"take", "hand-back"}, w.story(1)); diff != "" {
					t.Errorf("after %d words (-want +got):\n%s", m.canaries(), diff)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What only waited when the runner died was not tried.
func TestARequestThatWasNotStartedIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var tries atomic.Int64
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if r.Prompt() == "p" && tries.Add(1) <= 8 {
				return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "%w", pipeline.ErrNotStarted)
			}
			return after(ctx, time.Second)
		}}
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}
