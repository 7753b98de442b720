package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

func TestNothingIsCutByADeadlineThatBatchesFitInto(t *testing.T) {
	for _, slots := range []int{1, 2, 4, 8} {
		for _, auto := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d slots, auto %t", slots, auto), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.stock(500)
					var cut atomic.Int64
					m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
						c, err := after(ctx, 2500*time.Millisecond) // 20 s for a batch
						if err != nil {
							cut.Add(1)
						}
						return c, err
					}}
					cfg := config()
					cfg.Deadline = time.Now().Add(time.Minute)
					took, err := w.ends(w.start(cfg, LaneConfig{Backend: m, Slots: slots, Auto: auto}))
					if err != nil || took > time.Minute {
						t.Errorf("it ended after %s with %v", took, err)
					}
					if took < 35*time.Second {
						t.Errorf("it ended after %s, although another batch had fitted", took)
					}
					takes, acks := len(w.only("take")), len(w.only("ack"))
					if cut.Load() != 0 || takes != acks || len(w.only("hand-back")) != 0 {
						t.Errorf("%d generations cut, %d batches taken and %d done", cut.Load(), takes, acks)
					}
					if p := w.lastPresence(); !p.Deadline.Equal(cfg.Deadline) {
						t.Errorf("the presence says %s, want %s", p.Deadline, cfg.Deadline)
					}
				})
			})
		}
	}
}

func TestWhatTakesLongerThanEverGoesBackBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(1, 1, "quick")
		w.add(2, 1, "quick", "slow", "quick")
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if r.Prompt() == "slow" {
				return after(ctx, time.Hour)
			}
			return after(ctx, time.Second)
		}}
		w.publish = func(ctx context.Context, _ pipeline.Results) error {
			outage.Sleep(ctx, 500*time.Millisecond)
			return ctx.Err()
		}
		cfg := config()
		cfg.Deadline = time.Now().Add(time.Minute)
		took, err := w.ends(w.start(cfg, LaneConfig{Backend: m, Slots: 1}))
		if err != nil || took > time.Minute || took < 50*time.Second {
			t.Errorf("it ended after %s with %v", took, err)
		}
		if got := w.handedBack(2); got != 0 {
			t.Errorf("the batch rests %s", got)
		}
		if got := fmt.Sprint(w.stored(2)); got != "[0]" {
			t.Errorf("published of it: %s, want what was finished", got)
		}
	})
}

func TestADeadlineEndsAConsumerThatWaitsForWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := config()
		cfg.Deadline = time.Now().Add(12 * time.Hour)
		took, err := w.ends(w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 8}))
		if err != nil || took != 12*time.Hour-15*time.Second {
			t.Errorf("it ended after %s with %v", took, err)
		}
	})
}

func TestADeadlineThatIsOverEndsAConsumerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stock(10)
		cfg := config()
		cfg.Deadline = time.Now().Add(-time.Second)
		took, err := w.ends(w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 8}))
		if err != nil || took > time.Second || len(w.only("take")) != len(w.only("hand-back")) {
			t.Errorf("it ended after %s with %v: %v", took, err, w.events)
		}
	})
}

func TestAStopBeforeTheDeadlineIsAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stock(3)
		cfg := grace(time.Second)
		cfg.Deadline = time.Now().Add(time.Hour)
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			return after(ctx, time.Minute)
		}}
		if took, err := w.stopAfter(10*time.Second, cfg, LaneConfig{Backend: m, Slots: 2}); !errors.Is(err, ErrCut) || took != time.Second {
			t.Errorf("stopped after %s with %v", took, err)
		}
	})
}
