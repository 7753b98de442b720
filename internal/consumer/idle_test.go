package consumer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

// ends waits until a consumer has ended by itself and returns after how long in its world, and
// what Run returned.
func (w *world) ends(r *runner) (time.Duration, error) {
	defer r.stop()
	err := await(w.t, "the end of a consumer", r.done, bubbleTime)
	return time.Since(w.begin), err
}

// stock puts batches of eight generations on the queue.
func (w *world) stock(batches int) {
	for i := range batches {
		w.add(i, 1, "a", "b", "c", "d", "e", "f", "g", "h")
	}
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
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			for range 120 {
				r.CountTokens(1)
				if _, err := after(ctx, 30*time.Second); err != nil {
					return pipeline.Completion{}, err
				}
			}
			return after(ctx, time.Second)
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
		"nothing works":              {"a": {pipeline.Fatal}, pipeline.CanaryPrompt: {pipeline.Fatal}},
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
		cfg.Info = func(context.Context) (pipeline.RunInfo, error) {
			if asked.Add(1) == 1 { // before there is work
				return pipeline.RunInfo{Complete: true}, errors.New("no answer")
			}
			return pipeline.RunInfo{Complete: asked.Load() > 4}, nil
		}
		took, err := w.ends(w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 2}))
		if err != nil || len(w.only("ack")) != 3 {
			t.Errorf("it ended with %v and %d of 3 batches done", err, len(w.only("ack")))
		}
		if took > 2*time.Minute || asked.Load() != 5 {
			t.Errorf("it ended after %s, asked %d times", took, asked.Load())
		}
	})
}

func TestAConsumerSaysWithinTenSecondsWhyItHasNoBatches(t *testing.T) {
	for want, info := range map[string]pipeline.RunInfo{
		"no batches: the run is paused":                                       {Paused: true, Waiting: 5},
		"no batches: all batches are held by others, or rest after a failure": {Held: 3},
		"no batches: waiting until some are published":                        {},
		"no batches: the run is complete":                                     {Complete: true},
	} {
		for _, stay := range []bool{false, true} {
			if info.Complete && !stay {
				continue // then it ends
			}
			saysWhyItHasNoBatches(t, want, info, stay)
		}
	}
}

func saysWhyItHasNoBatches(t *testing.T, want string, info pipeline.RunInfo, stay bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		core, logs := observer.New(zap.InfoLevel)
		cfg := config()
		cfg.Log, cfg.Stay, cfg.Info = zap.New(core), stay, func(context.Context) (pipeline.RunInfo, error) { return info, nil }
		r := w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 2})
		time.Sleep(10 * time.Second)
		if n := logs.FilterMessage(want).Len(); n != 1 {
			t.Errorf("%q was said %d times in ten seconds: %v", want, n, logs.All())
		}
		time.Sleep(10 * time.Minute)
		if n := logs.FilterMessage(want).Len(); n != 1 {
			t.Errorf("%q was said %d times in ten minutes", want, n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// What rests, or what others hold, may come yet.
func TestAConsumerDoesNotEndAsIdleWhileWorkMayCome(t *testing.T) {
	for name, c := range map[string]struct {
		info pipeline.RunInfo
		err  error
		ends time.Duration // after the last batch; 0: it does not
	}{
		"nothing is left":                  {pipeline.RunInfo{}, nil, 10 * time.Minute},
		"a batch rests":                    {pipeline.RunInfo{Held: 1}, nil, 0},
		"a batch waits":                    {pipeline.RunInfo{Waiting: 1}, nil, 0},
		"a verdict is doubted":             {pipeline.RunInfo{AwaitOpinion: 1}, nil, 0},
		"what waits is paused":             {pipeline.RunInfo{Waiting: 5, Paused: true}, nil, 10 * time.Minute},
		"the queue cannot be asked":        {pipeline.RunInfo{}, errors.New("no answer"), 11 * time.Minute},
		"the run is complete, but to stay": {pipeline.RunInfo{Complete: true}, nil, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.add(1, 1, "a")
				cfg := config()
				cfg.IdleExit, cfg.Stay = 10*time.Minute, true
				cfg.Info = func(context.Context) (pipeline.RunInfo, error) { return c.info, c.err }
				r := w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 1})
				if c.ends == 0 {
					time.Sleep(2 * time.Hour)
					w.add(2, 1, "a")
					time.Sleep(time.Minute)
					if n := len(w.only("ack")); n != 2 {
						t.Errorf("%d batches are done, want also the one that came late", n)
					}
					if err := r.end(); err != nil {
						t.Error(err)
					}
					return
				}
				if took, err := w.ends(r); err != nil || took < c.ends || took > c.ends+time.Minute {
					t.Errorf("it ended after %s with %v", took, err)
				}
			})
		})
	}
}

// The server tells of a deletion at once, and a question every two minutes would not.
func TestARunThatIsGoneIsAskedAboutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gone := newWorld(t), make(chan struct{}, 1)
		var asked atomic.Int64
		cfg := config()
		cfg.Stay, cfg.Gone = true, gone
		cfg.Info = func(context.Context) (pipeline.RunInfo, error) { asked.Add(1); return pipeline.RunInfo{}, nil }
		r := w.start(cfg, LaneConfig{Backend: &fakeModel{}, Slots: 1})
		time.Sleep(3*AskEvery + time.Second)
		if n := asked.Load(); n != 4 {
			t.Errorf("asked %d times in six minutes", n)
		}
		gone <- struct{}{}
		synctest.Wait()
		if n := asked.Load(); n != 5 {
			t.Errorf("asked %d times, want once more at once", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}
