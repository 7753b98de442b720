package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// stopAfter lets a consumer work for a while, stops it and returns how long that took and what
// Run returned.
func (w *world) stopAfter(work time.Duration, cfg Config, gpus ...LaneConfig) (took time.Duration, err error) {
	w.t.Helper()
	r := w.start(cfg, gpus...)
	time.Sleep(work)
	stopped := time.Now()
	err = r.end()
	return time.Since(stopped), err
}

func grace(d time.Duration) Config {
	cfg := config()
	cfg.Grace = d
	return cfg
}

func TestAStopFinishesWhatFitsTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 9 {
			w.add(i, 1, "a", "b", "c")
		}
		took, err := w.stopAfter(500*time.Millisecond, grace(20*time.Second), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		if err != nil || took != 8500*time.Millisecond {
			t.Errorf("stopped after %s: %v; want the 9 generations of the 3 batches held to be finished", took, err)
		}
		if acks := w.only("ack"); len(acks) != 3 || len(w.only("take")) != 3 || len(w.only("hand-back")) != 0 {
			t.Errorf("%d batches done of %d taken, %d handed back", len(acks), len(w.only("take")), len(w.only("hand-back")))
		}
	})
}

func TestWhatDoesNotFitTheGraceIsHandedBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(1, 1, "a", "b", "c")
		w.add(2, 1, "a")
		took, err := w.stopAfter(500*time.Millisecond, grace(1700*time.Millisecond), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		if !errors.Is(err, ErrCut) || took != 1700*time.Millisecond {
			t.Errorf("stopped after %s: %v", took, err)
		}
		if len(w.stored(1))+len(w.stored(2)) != 2 {
			t.Errorf("published: %v and %v, want the two answers that were finished", w.stored(1), w.stored(2))
		}
		for _, e := range w.only("hand-back") {
			if e.delay != 0 || e.at != 2200*time.Millisecond {
				t.Errorf("batch %d handed back for %s after %s", e.batch, e.delay, e.at)
			}
		}
		if len(w.only("hand-back"))+len(w.only("ack")) != 2 || len(w.only("hand-back")) == 0 {
			t.Errorf("%v", w.events)
		}
	})
}

func TestTheCauseOfACutIsKnownToTheModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var cause error
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return pipeline.Completion{}, ctx.Err()
		}}
		w.add(1, 1, "a")
		if _, err := w.stopAfter(time.Second, grace(time.Second), LaneConfig{Backend: m, Slots: 1}); !errors.Is(err, ErrCut) {
			t.Error(err)
		}
		if !errors.Is(cause, ErrCut) || !errors.Is(cause, context.Canceled) {
			t.Errorf("the cause is %v", cause)
		}
	})
}

func TestAStopDoesNotWaitForWorkThatMayCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if took, err := w.stopAfter(time.Hour, config(), LaneConfig{Backend: &fakeModel{}, Slots: 8}, LaneConfig{Backend: &fakeModel{}, Slots: 8}); took != 0 || err != nil {
			t.Errorf("stopped after %s: %v", took, err)
		}
	})
}

func TestAStopDoesNotWaitForAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"p": {pipeline.Fatal}})}
		w.add(1, 1, "p")
		if took, err := w.stopAfter(5*time.Second, config(), LaneConfig{Backend: m, Slots: 1}); took != 0 || err != nil {
			t.Errorf("stopped after %s: %v", took, err)
		}
	})
}

// A lateSource has a message for each worker that stops waiting.
type lateSource struct{ *world }

func (s lateSource) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	<-ctx.Done()
	return s.world.Next(context.WithoutCancel(ctx))
}

func TestAMessageThatComesWithTheStopIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		for i := range 4 {
			w.add(i, 1, "p")
		}
		c, err := New(config(), func() WorkQueue { return lateSource{w} }, w, []LaneConfig{{Backend: m, Slots: 2}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
		for i := range 4 {
			if got := w.handedBack(i); got != 0 {
				t.Errorf("batch %d rests %s", i, got)
			}
		}
		if len(m.asked()) != 0 || time.Since(w.begin) != time.Minute {
			t.Errorf("%d generations, ended after %s", len(m.asked()), time.Since(w.begin))
		}
	})
}

func TestWhatIsBeingPublishedWhenTheGraceEndsIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish = func(ctx context.Context, _ pipeline.Results) error {
			if outage.Sleep(ctx, 5*time.Second) != nil { // the stream is full for a while
				return ctx.Err()
			}
			return nil
		}
		w.add(1, 1, "p")
		took, err := w.stopAfter(1500*time.Millisecond, grace(time.Second), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		if err != nil || took != 4500*time.Millisecond {
			t.Errorf("stopped after %s: %v", took, err)
		}
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestPublishingDoesNotOutlastTheGraceByMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish = func(ctx context.Context, _ pipeline.Results) error { <-ctx.Done(); return ctx.Err() }
		w.add(1, 1, "p")
		took, err := w.stopAfter(2*time.Second, grace(time.Second), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		if !errors.Is(err, ErrCut) || took != time.Second+publishGrace {
			t.Errorf("stopped after %s: %v", took, err)
		}
		if got := w.handedBack(1); got != 0 {
			t.Errorf("rests %s", got)
		}
	})
}

func TestARetryGoesOnWithinTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			grace time.Duration
			err   error
			story []string
		}{
			"long enough": {10 * time.Second, nil, []string{"take", "publish", "ack"}},
			"too short":   {300 * time.Millisecond, ErrCut, []string{"take", "hand-back"}},
		} {
			w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"p": {pipeline.Retryable, ""}})}
			w.add(1, 1, "p")
			took, err := w.stopAfter(1200*time.Millisecond, grace(c.grace), LaneConfig{Backend: m, Slots: 1})
			if !errors.Is(err, c.err) || took > c.grace {
				t.Errorf("%s: stopped after %s: %v", name, took, err)
			}
			if diff := cmp.Diff(c.story, w.story(1)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// The server may be gone at the end: the lease ends by itself then.
func TestAHandBackThatFailsDoesNotKeepTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			return after(ctx, time.Hour)
		}}
		d := pipeline.Delivery[pipeline.Work]{Body: pipeline.Work{Run: "r", Generations: []pipeline.Generation{{}}}, Receipt: deaf{}}
		w.queue <- d
		took, err := w.stopAfter(time.Second, grace(time.Second), LaneConfig{Backend: m, Slots: 1})
		if !errors.Is(err, ErrCut) || took != time.Second+publishGrace {
			t.Errorf("stopped after %s: %v", took, err)
		}
	})
}

// A deaf receipt answers when it is no longer waited for.
type deaf struct{}

func (deaf) Extend(ctx context.Context) error                    { <-ctx.Done(); return ctx.Err() }
func (deaf) Ack(ctx context.Context) error                       { <-ctx.Done(); return ctx.Err() }
func (deaf) HandBack(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() }
func (deaf) Reject(ctx context.Context, _ string) error          { <-ctx.Done(); return ctx.Err() }
