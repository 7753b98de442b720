package consumer

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// startBroken starts a consumer with one GPU of four slots, six workers, on a queue that is never
// empty. The model fails fatally, with everything or with all but a canary, until mend is called.
func startBroken(w *world, all bool) (r *runner, mend func(), logs *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	var mended atomic.Bool
	m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
		if !mended.Load() && (all || r.Prompt() != pipeline.CanaryPrompt) {
			return pipeline.Completion{}, pipeline.Fail(pipeline.Fatal, "no such model: pull it")
		}
		return after(ctx, time.Second)
	}}
	for i := range 500 {
		w.add(i, 1, "a", "b", "c")
	}
	cfg := config()
	cfg.Log = zap.New(core)
	return w.start(cfg, LaneConfig{Name: "T4", Backend: m, Slots: 4}), func() { mended.Store(true) }, logs
}

func TestAGPUThatFailsWithEverythingTakesNothingUntilItIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, mend, logs := startBroken(w, true)
		time.Sleep(time.Hour)
		synctest.Wait()
		// Each of the six workers had one when the first of them failed.
		if n := len(w.only("take")); n > 6 || n != len(w.only("hand-back")) {
			t.Errorf("%d deliveries, %d handed back", n, len(w.only("hand-back")))
		}
		if g := r.Snapshot().GPUs[0]; g.State != pipeline.GPUHeld || g.Detail != "no such model: pull it" {
			t.Errorf("it says %q", g.Describe())
		}
		mend()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(w.only("ack")); n < 30 {
			t.Errorf("mended, it did %d batches in a minute", n)
		}
		if state := r.Snapshot().GPUs[0].State; state != pipeline.GPUServing {
			t.Errorf("mended, it says %q", state)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if n := len(w.only("dead")); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		if logs.FilterMessageSnippet("takes no work until").Len() != 1 || logs.FilterMessageSnippet("takes work again").Len() != 1 {
			t.Errorf("the log says %v", logs.All())
		}
	})
}

func TestAnOpenBreakerCostsAtMostOneDeliveryForEachProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, mend, _ := startBroken(w, false)
		time.Sleep(20 * time.Second)
		before := len(w.only("take"))
		time.Sleep(20 * 30 * time.Second)
		synctest.Wait()
		if n := len(w.only("take")) - before; n < 15 || n > 20 {
			t.Errorf("%d deliveries in the time of 20 probes", n)
		}
		mend()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(w.only("ack")); n < 30 {
			t.Errorf("mended, it did %d batches in a minute", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// Otherwise it would take batch after batch from those that can answer them, each until it was
// delivered too often.
func TestAGPUWhoseServerIsAwayTakesNothingUntilItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var away atomic.Bool
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			if away.Load() {
				return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "connection refused")
			}
			return after(ctx, time.Second)
		}}
		deliveries := map[int]int{}
		var mu sync.Mutex
		w.again = func(batch int) {
			mu.Lock()
			defer mu.Unlock()
			deliveries[batch]++
			w.add(batch, deliveries[batch], "a", "b", "c")
		}
		for i := range 300 {
			w.again(i)
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 4})
		time.Sleep(30 * time.Second)
		away.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(w.only("take"))
		if state := r.Snapshot().GPUs[0].Describe(); !strings.Contains(state, "connection refused") {
			t.Errorf("it says %q", state)
		}
		time.Sleep(10 * time.Hour)
		if n := len(w.only("take")) - before; n != 0 {
			t.Errorf("%d deliveries while the server was away", n)
		}
		away.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if g := r.Snapshot().GPUs[0]; g.State != pipeline.GPUServing || g.Busy != 4 {
			t.Errorf("the server is back, and the GPU %+v", g)
		}
		time.Sleep(10 * time.Minute)
		if acks, dead := len(w.only("ack")), len(w.only("dead")); acks != 300 || dead != 0 {
			t.Errorf("%d of 300 batches are done, %d dead letters", acks, dead)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// What began before the failure says nothing about what is there after it.
func TestAnOldRequestDoesNotResetTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if r.Prompt() == "old" {
				return after(ctx, 10*time.Second)
			}
			outage.Sleep(ctx, time.Second)
			return pipeline.Completion{}, pipeline.Fail(pipeline.Fatal, "the model was removed")
		}}
		w.add(1, 1, "old")
		w.add(2, 1, "new")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 2})
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if g := r.Snapshot().GPUs[0]; g.State != pipeline.GPUHeld || g.Detail != "the model was removed" || len(w.only("ack")) != 1 {
			t.Errorf("it says %q", g.Describe())
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// The worker that probes waits for work. No other one may probe meanwhile.
func TestOneWorkerProbesWhileThereIsNoWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mended atomic.Bool
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			if c, err := after(ctx, time.Second); mended.Load() || err != nil {
				return c, err
			}
			return pipeline.Completion{}, pipeline.Fail(pipeline.Fatal, "no such model: pull it")
		}}
		for i := range 6 {
			w.add(i, 1, "p")
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 4})
		time.Sleep(10 * time.Second)
		mended.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		asked, _ := w.calls()
		if asked != 6+1 {
			t.Errorf("asked for work %d times, want once by each worker and once by the one that probes", asked)
		}
		if state := r.Snapshot().GPUs[0].State; state != pipeline.GPUProbing {
			t.Errorf("it says %q", state)
		}
		for i := range 20 {
			w.add(10+i, 1, "a")
		}
		time.Sleep(30 * time.Second)
		if n := len(w.only("ack")); n != 20 {
			t.Errorf("%d of 20 batches are done", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAProbeThatShowsNothingIsRepeatedByTheNextWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: failing(map[string][]pipeline.Class{"fatal": {pipeline.Fatal, ""}})}
		w.add(1, 1, "fatal")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 2})
		time.Sleep(10 * time.Second)
		for i := range 8 {
			w.queue <- pipeline.Delivery[pipeline.Work]{Err: context.DeadlineExceeded, Body: pipeline.Work{Batch: 10 + i}, Receipt: &receipt{w, 10 + i}}
		}
		w.add(30, 26, "undeliverable")
		for i := range 8 {
			w.add(2+i, 1, "good")
		}
		time.Sleep(2 * time.Minute)
		if n := len(w.only("ack")); n != 9 {
			t.Errorf("%d of 9 batches are done", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A model may have nothing to say to the canary and answer everything else.
func TestAServerThatIsBackWorksAlsoIfItsWordIsWorthNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		back := w.begin.Add(2 * time.Minute)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			switch {
			case time.Now().Before(back):
				return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "connection refused")
			case isCanary(r):
				return pipeline.Completion{}, pipeline.Fail(pipeline.Degenerate, "%w", pipeline.ErrEmpty)
			}
			return after(ctx, time.Second)
		}}
		w.again = func(batch int) { w.add(batch, 2, "p") }
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 2})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n, state := len(w.only("ack")), r.stateOf(0); n != 1 || state != "serving" {
			t.Errorf("%d of 1 batch is done, and it says %q", n, state)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatFailsWhileAProbeAsksSaysLessThanItsWord(t *testing.T) {
	away := pipeline.Fail(pipeline.Retryable, "%w", errAway)
	for name, c := range map[string]struct {
		trip error
		want time.Duration // until the worker is admitted
	}{
		"the server was away":       {away, awayRest + 2*time.Second},
		"a person has to mend that": {pipeline.Fail(pipeline.Fatal, "credentials refused"), awayRest + time.Second + time.Minute + 2*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, began := newBreaker("T4", time.Minute, zap.NewNop()), time.Now()
				b.probe = func(ctx context.Context, _ pipeline.Request) error { return outage.Sleep(ctx, 2*time.Second) }
				b.ProbeWith(pipeline.Request{})
				b.Trip(away)
				time.AfterFunc(awayRest+time.Second, func() { b.Trip(c.trip) })
				admitted, err := b.Admit(t.Context())
				if err != nil || !admitted.Valid() || time.Since(began) != c.want {
					t.Errorf("%v after %s, want after %s", err, time.Since(began), c.want)
				}
			})
		})
	}
}
