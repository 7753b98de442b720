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

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// ends waits until a consumer has ended by itself and returns after how long in its world, and
// what Run returned.
func (w *world) ends(r *runner) (time.Duration, error) {
	defer r.stop()
	err := <-r.done
	return time.Since(w.begin), err
}

// fill puts so many batches of eight on the queue.
func (w *world) stock(batches int) {
	for i := range batches {
		w.add(i, 1, "a", "b", "c", "d", "e", "f", "g", "h")
	}
}

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

func TestAConsumerWithoutWorkEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(1, 1, "a", "b")
		cfg := config()
		cfg.IdleExit = 10 * time.Minute
		r := w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 1}, LaneConfig{Backend: &fakeModel{}, Slots: 1})
		time.AfterFunc(9*time.Minute, func() { w.add(2, 1, "a") })
		took, err := w.ends(r)
		if err != nil || took < 19*time.Minute || took > 19*time.Minute+5*time.Second {
			t.Errorf("it ended after %s with %v", took, err)
		}
	})
}

func TestALongBatchIsNoIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(1, 1, "long")
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			return after(ctx, time.Hour)
		}}
		cfg := config()
		cfg.IdleExit = time.Minute
		took, err := w.ends(w.start(cfg, LaneConfig{Backend: m, Slots: 1}))
		if err != nil || len(w.only("ack")) != 1 || took < time.Hour+time.Minute {
			t.Errorf("it ended after %s with %v", took, err)
		}
	})
}

func TestGPUsThatCannotWorkEndWithAnError(t *testing.T) {
	for name, verdicts := range map[string]map[string][]pipeline.Class{
		"nothing works":              {"a": {pipeline.Fatal}, "Hello": {pipeline.Fatal}},
		"only the word itself works": {"a": {pipeline.Fatal}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.stock(500)
				cfg := config()
				cfg.IdleExit = 10 * time.Minute
				took, err := w.ends(w.start(cfg, LaneConfig{Backend: &fakeModel{answer: failing(verdicts)}, Slots: 1}))
				if err == nil || !strings.Contains(err.Error(), "no GPU could work") || took > 12*time.Minute {
					t.Errorf("it ended after %s with %v", took, err)
				}
			})
		})
	}
}

func TestAConsumerEndsWhenTheRunIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stock(3)
		var asked atomic.Int64
		cfg := config()
		cfg.Complete = func(context.Context) (bool, error) {
			if now, _ := w.holds(); now > 0 {
				t.Error("it asks while it has work")
			}
			if asked.Add(1) == 1 {
				return true, errors.New("no answer")
			}
			return asked.Load() > 3, nil
		}
		took, err := w.ends(w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 2}))
		if err != nil || len(w.only("ack")) != 3 {
			t.Errorf("it ended with %v and %d of 3 batches done", err, len(w.only("ack")))
		}
		if took > 2*time.Minute || asked.Load() != 4 {
			t.Errorf("it ended after %s, asked %d times", took, asked.Load())
		}
	})
}
