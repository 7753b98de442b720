package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// talks is an answer whose tokens come one after the other, the first after a while. If it is cut
// the error is that of a client which tells the cause.
func talks(ctx context.Context, r pipeline.Request, first, each time.Duration, tokens int) (pipeline.Completion, error) {
	began := time.Now()
	wait := first
	for range tokens {
		if outage.Sleep(ctx, wait) != nil {
			return pipeline.Completion{}, cut(ctx)
		}
		r.CountTokens(1)
		wait = each
	}
	return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: tokens, Duration: time.Since(began)}, nil
}

// hangs is a request that gets no further token.
func hangs(ctx context.Context) (pipeline.Completion, error) {
	<-ctx.Done()
	return pipeline.Completion{}, cut(ctx)
}

func cut(ctx context.Context) error {
	return &pipeline.Failure{Class: pipeline.Retryable, Err: fmt.Errorf("generate on http://a: %w", context.Cause(ctx))}
}

// watched starts a consumer with a log.
func (w *world) watched(cfg Config, lane LaneConfig) (*runner, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	cfg.Log = zap.New(core)
	return w.start(cfg, lane), logs
}

func TestNothingIsCancelledWhileTheModelLoadsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		unloaded, loaded := w.begin.Add(5*time.Second), w.begin.Add(9*time.Minute)
		m := &loader{loadedAt: loaded, unloadedAt: unloaded}
		m.answer = func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
			if now := time.Now(); now.After(unloaded) && now.Before(loaded) {
				outage.Sleep(ctx, time.Until(loaded))
			}
			return talks(ctx, r, 100*time.Millisecond, 100*time.Millisecond, 8)
		}
		for i := range 40 {
			w.add(i, 1, fmt.Sprint("a", i), fmt.Sprint("b", i))
		}
		r, logs := w.watched(config(), LaneConfig{Backend: m, Slots: 4})
		time.Sleep(80 * time.Second)
		synctest.Wait()
		g := r.Snapshot().GPUs[0]
		if g.State != pipeline.GPUServing || !strings.HasPrefix(g.Detail, "loading, waiting for the first token of 4 requests for 7") {
			t.Errorf("it says %q", g.Describe())
		}
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if acks := len(w.only("ack")); acks != 40 || len(m.asked()) != 80 {
			t.Errorf("%d of 40 batches are done after %d requests, want each of 80 asked once", acks, len(m.asked()))
		}
		if detail := r.Snapshot().GPUs[0].Detail; detail != "" {
			t.Errorf("it says %q", detail)
		}
		if n := logs.FilterMessage("waiting for a first token: the model is loading").Len(); n != 2 {
			t.Errorf("%d lines about a wait of nine minutes, want one after half a minute and one five minutes later", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A loader is a model that is not loaded for a while.
type loader struct {
	fakeModel
	unloadedAt, loadedAt time.Time
}

func (l *loader) Loaded(context.Context, string) (pipeline.ModelInfo, error) {
	if now := time.Now(); now.After(l.unloadedAt) && now.Before(l.loadedAt) {
		return pipeline.ModelInfo{}, pipeline.Fail(pipeline.Retryable, "not loaded")
	}
	return pipeline.ModelInfo{Name: "tiny"}, nil
}

// One request never gets a token. The others do not notice.
func TestARowThatHangsHoldsUpNoOther(t *testing.T) {
	for name, hang := range map[string]int{"from the start": 0, "in the middle of the answer": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
					if r.Prompt() == "hangs" {
						for range hang {
							outage.Sleep(ctx, time.Second)
							r.CountTokens(1)
						}
						return hangs(ctx)
					}
					return talks(ctx, r, time.Second, time.Second, 8)
				}}
				for i := range 400 {
					prompt := "fine"
					if i == 5 {
						prompt = "hangs"
					}
					w.add(i, 1, prompt)
				}
				r := w.start(config(), LaneConfig{Backend: m, Slots: 4})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if n := len(w.only("ack")); n < 3*300/8 {
					t.Errorf("%d batches in five minutes", n)
				}
				letters := w.only("dead")
				if len(letters) != 1 {
					t.Fatalf("%d dead letters", len(letters))
				}
				f := letters[0].dead.Failures[0]
				if f.Class != pipeline.Unanswered || f.Attempts != leastTries || !strings.Contains(f.Message, "--stall") || f.Prompt() != "hangs" {
					t.Errorf("%+v", f)
				}
				if err := r.end(); err != nil && !strings.Contains(err.Error(), "grace") {
					t.Error(err)
				}
			})
		})
	}
}

func TestALongPromptIsWaitedForInProportion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		long := strings.Repeat("long ", 100)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if r.Prompt() == long {
				return talks(ctx, r, 4*time.Minute, time.Second, 8)
			}
			return talks(ctx, r, time.Second, time.Second, 8)
		}}
		for i := range 100 {
			prompt := strings.Repeat("short ", 8)
			if i == 50 { // when shorter ones were answered
				prompt = long
			}
			w.add(i, 1, prompt)
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 4})
		time.Sleep(10 * time.Minute)
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(50)); diff != "" || len(m.asked()) != 100 {
			t.Errorf("%d requests (-want +got):\n%s", len(m.asked()), diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestARequestThatGetsNoFirstTokenNamesTheFlag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if r.Prompt() == "hangs" {
				return hangs(ctx)
			}
			return talks(ctx, r, time.Second, time.Second, 2)
		}}
		w.add(1, 1, "hangs")
		cfg := config()
		cfg.FirstToken = 6 * time.Minute
		r := w.start(cfg, LaneConfig{Backend: m, Slots: 4})
		time.Sleep(6*time.Minute - time.Second)
		synctest.Wait()
		if n, _ := m.busy(); n != 1 || len(m.asked()) != 1 {
			t.Errorf("%d of %d requests are in flight before the limit", n, len(m.asked()))
		}
		time.Sleep(time.Minute)
		if f := w.only("dead")[0].dead.Failures[0]; f.Class != pipeline.Unanswered || f.Attempts != 1 || !strings.Contains(f.Message, "no first token within 6m (--first-token)") {
			t.Errorf("%+v", f)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// All answers stop. One of them is the reason, and is found alone.
func TestWhatStallsTheServerIsFoundAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		stuck, flying := false, 0
		m := &fakeModel{}
		m.answer = func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			mu.Lock()
			flying++
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if flying--; flying == 0 { // then the server ends its runner
					stuck = false
				}
			}()
			for range 8 {
				if outage.Sleep(ctx, time.Second) != nil {
					return pipeline.Completion{}, cut(ctx)
				}
				mu.Lock()
				now := stuck
				mu.Unlock()
				if now {
					return hangs(ctx)
				}
				r.CountTokens(1)
				if r.Prompt() == "sticks" {
					mu.Lock()
					stuck = true
					mu.Unlock()
				}
			}
			return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: 8}, nil
		}
		for i := range 60 {
			prompt := "fine"
			if i == 5 {
				prompt = "sticks"
			}
			w.add(i, 1, prompt)
		}
		r, _ := w.watched(config(), LaneConfig{Backend: m, Slots: 4})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if acks := len(w.only("ack")); acks != 60 {
			t.Errorf("%d of 60 batches are done", acks)
		}
		for _, e := range w.only("dead") {
			if f := e.dead.Failures[0]; f.Prompt() != "sticks" || f.Class != pipeline.Unanswered || !strings.Contains(f.Message, "from any of 1 answer (--stall)") {
				t.Errorf("%+v", f)
			}
		}
		if n := len(w.only("dead")); n != 1 {
			t.Errorf("%d dead letters", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A server that works on one request at a time lets the others wait for longer than any limit.
func TestOurOwnQueueAtAServerIsSaidOnceAndIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		turn := make(chan struct{}, 1)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			select {
			case turn <- struct{}{}:
			case <-ctx.Done():
				return pipeline.Completion{}, cut(ctx)
			}
			defer func() { <-turn }()
			return talks(ctx, r, time.Second, 10*time.Second, 12)
		}}
		for i := range 32 {
			w.add(i, 1, fmt.Sprint(i))
		}
		r, logs := w.watched(config(), LaneConfig{Backend: m, Slots: 8})
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if detail := r.Snapshot().GPUs[0].Detail; detail != "works on one request at a time, 7 wait there: OLLAMA_NUM_PARALLEL=8 there, or --slots 1 here" {
			t.Errorf("it says %q", detail)
		}
		time.Sleep(2 * time.Hour)
		if acks := len(w.only("ack")); acks != 32 || len(m.asked()) != 32 {
			t.Errorf("%d of 32 batches are done after %d requests", acks, len(m.asked()))
		}
		lines := logs.FilterMessageSnippet("one request at a time").All()
		if len(lines) != 1 || lines[0].ContextMap()["setting"] != "OLLAMA_NUM_PARALLEL=8 there, or --slots 1 here" {
			t.Errorf("the log says %v", lines)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// Not every queue is in order: one that waits may be overtaken by many.
func TestAQueueWithoutOrderIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dice := newWorld(t), newDice(1)
		turn := make(chan struct{}, 1)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			for taken := false; !taken; {
				select {
				case turn <- struct{}{}:
					taken = true
				default:
					if outage.Sleep(ctx, dice.duration(200*time.Millisecond)) != nil {
						return pipeline.Completion{}, cut(ctx)
					}
				}
			}
			defer func() { <-turn }()
			return talks(ctx, r, 100*time.Millisecond, time.Second, 10)
		}}
		for i := range 64 {
			w.add(i, 1, fmt.Sprint(i))
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 8})
		time.Sleep(time.Hour)
		if acks := len(w.only("ack")); acks != 64 || len(m.asked()) != 64 {
			t.Errorf("%d of 64 batches are done after %d requests", acks, len(m.asked()))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatWorksOnSeveralIsNotTakenForOneThatQueues(t *testing.T) {
	for name, times := range map[string][2]time.Duration{ // reading the prompt, each token
		"long answers":   {time.Second, time.Second},
		"short answers":  {5 * time.Second, 10 * time.Millisecond},
		"instant answer": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, dice := newWorld(t), newDice(3)
				m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
					return talks(ctx, r, times[0]+dice.duration(times[0]+1), times[1], 8)
				}}
				for i := range 400 {
					w.add(i, 1, "a", "b", "c", "d", "e", "f")
				}
				r, logs := w.watched(config(), LaneConfig{Backend: m, Slots: 8})
				time.Sleep(30 * time.Minute)
				if n := logs.FilterMessageSnippet("one request at a time").Len(); n != 0 {
					t.Errorf("it is said of a server with eight slots")
				}
				_ = r.end()
			})
		})
	}
}

func TestALimitNamesItsSettingAndItsValue(t *testing.T) {
	const stall, firstToken = 45 * time.Second, 10 * time.Minute
	old := func(f *inflight, prompt int) *openRequest { // one that was overtaken by another long ago
		now := time.Now()
		f.begun, f.longest, f.tokenAt = now.Add(-time.Hour), 100, now
		return &openRequest{sent: now.Add(-2 * time.Hour), prompt: prompt, overtakenAt: now.Add(-time.Hour)}
	}
	serves := func(f *inflight, n int) { // that many at a time
		f.running, f.overlap.at, f.overlap.running, f.overlap.times = n, time.Now(), n, slices.Repeat([]time.Duration{time.Minute}, n)
	}
	for want, prepare := range map[string]func(f *inflight) *openRequest{
		"no first token for 45s after a later request had its own (--stall)": func(f *inflight) *openRequest {
			serves(f, 4)
			return old(f, 100)
		},
		"no first token for 1m30s after a later request had its own (--stall 45s, and more for its long prompt)": func(f *inflight) *openRequest {
			serves(f, 4)
			return old(f, 200)
		},
		"no first token for 10m after a later request had its own (--first-token)": func(f *inflight) *openRequest {
			serves(f, 4)
			return old(f, 1e6)
		},
		"no first token within 10m (--first-token)": func(f *inflight) *openRequest {
			return &openRequest{sent: time.Now().Add(-time.Hour)}
		},
	} {
		f := &inflight{stall: stall, firstToken: firstToken, log: zap.NewNop()}
		r := prepare(f)
		f.requests = []*openRequest{r}
		if why := f.hangs(r, time.Now()); why == nil || why.message != want {
			t.Errorf("%+v, want %q", why, want)
		}
	}
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 45 * time.Second: "45s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h", time.Hour + 10*time.Minute: "1h10m", 1500 * time.Millisecond: "1.5s",
	} {
		if got := short(d); got != want {
			t.Errorf("%s is shown as %q, want %q", d, got, want)
		}
	}
}
