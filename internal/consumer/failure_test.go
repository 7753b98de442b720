package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// failing makes an answer function of verdicts: by prompt, one class for each try, "" for an
// answer after a second.
func failing(verdicts map[string][]pipeline.Class) func(context.Context, int, pipeline.Request) (pipeline.Completion, error) {
	return func(ctx context.Context, try int, r pipeline.Request) (pipeline.Completion, error) {
		completion, err := after(ctx, time.Second)
		if classes := verdicts[r.Prompt()]; err == nil && len(classes) > 0 && classes[min(try, len(classes))-1] != "" {
			return pipeline.Completion{}, pipeline.Fail(classes[min(try, len(classes))-1], "it is %s", classes[min(try, len(classes))-1])
		}
		return completion, err
	}
}

// handedBack returns after what delay a batch was handed back, and checks that it was
// not acknowledged.
func (w *world) handedBack(batch int) time.Duration {
	w.t.Helper()
	story := w.of(batch)
	if len(story) == 0 || story[len(story)-1].what != "hand-back" || slices.Contains(w.story(batch), "ack") {
		w.t.Fatalf("batch %d was not handed back: %v", batch, w.story(batch))
	}
	return story[len(story)-1].delay
}

// about reports whether d is want with the jitter that keeps many from acting in the same moment.
func about(d, want time.Duration) bool {
	return d >= want-want/10 && d <= want+want/10
}

func TestAGenerationThatIsNeverAnsweredIsUnansweredWhileOthersAre(t *testing.T) {
	for name, others := range map[string][]string{"others are answered": {"a", "b", "c", "d", "e", "f"}, "only a canary is answered": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"p": {pipeline.Retryable}})}
				w.add(1, 1, "p")
				for i, other := range others {
					w.add(2+i, 1, other)
				}
				r := w.start(config(), LaneConfig{Name: "T4", Backend: m, Slots: 2})
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{"take", "dead", "ack"}, w.story(1)); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				f := w.of(1)[1].dead.Failures[0]
				if f.Class != pipeline.Unanswered || f.Attempts < leastTries || f.Attempts > triesUnproven || !strings.HasPrefix(f.Message, "it is retryable; tried ") {
					t.Errorf("%+v", f)
				}
				if n := len(w.only("hand-back")); n != 0 {
					t.Errorf("%d batches were handed back", n)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The server is away for some seconds: the generation is not the reason.
func TestAGenerationIsTriedAsOftenAsWhatIsKnownAsksFor(t *testing.T) {
	for _, c := range []struct {
		name         string
		done, passed int
		judged       bool
		least, most  int
	}{
		{"nothing is known", 0, 0, false, 3, 5},
		{"nothing is known, and another GPU has given it up", 0, 0, true, 2, 2},
		{"the server fails with nothing else", 100, 0, false, 3, 3},
		{"the same, and another GPU has given it up", 100, 0, true, 2, 2},
		{"a third of all tries fails", 100, 50, false, 3, 10},
		{"the same, and another GPU has given it up, which proves little here", 100, 50, true, 2, 10},
	} {
		e := evidence{done: c.done, passed: c.passed}
		if least, most := e.tries(1000, c.judged); least != c.least || most != c.most {
			t.Errorf("%s: %d to %d tries, want %d to %d", c.name, least, most, c.least, c.most)
		}
	}
}

func TestAnOutageMakesNothingUnanswered(t *testing.T) {
	for _, lasts := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 8 * time.Second, time.Minute} {
		t.Run(lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				away := w.begin.Add(10 * time.Second)
				m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
					if now := time.Now(); !now.Before(away) && now.Before(away.Add(lasts)) {
						return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "connection refused")
					}
					return after(ctx, time.Second)
				}}
				w.again = func(batch int) { w.add(batch, 2, "a", "b", "c") }
				for i := range 200 {
					w.again(i)
				}
				r := w.start(config(), LaneConfig{Backend: m, Slots: 8})
				time.Sleep(time.Until(away.Add(lasts + 5*time.Second)))
				synctest.Wait()
				if busy, _ := m.busy(); busy != 8 {
					t.Errorf("five seconds after the outage %d of 8 slots are busy", busy)
				}
				time.Sleep(5 * time.Minute)
				if acks, dead := len(w.only("ack")), len(w.only("dead")); acks != 200 || dead != 0 {
					t.Errorf("%d of 200 batches are done, %d dead letters", acks, dead)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Failures cost their own request, not the GPU, and what would be answered is not given up.
func TestThirtyPercentOfFailuresKeepTheSlotsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dice := newWorld(t), newDice(7)
		var worked atomic.Int64
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			began := time.Now()
			defer func() { worked.Add(int64(time.Since(began))) }()
			r.CountTokens(1)
			if dice.percent(30) {
				_, _ = after(ctx, 200*time.Millisecond)
				return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "cut")
			}
			return after(ctx, 500*time.Millisecond)
		}}
		for i := range 900 {
			w.add(i, 1, fmt.Sprint(i))
		}
		cfg := config()
		cfg.Known.Generations = 900
		r := w.start(cfg, LaneConfig{Backend: m, Slots: 8})
		for len(w.only("ack")) < 800 {
			time.Sleep(time.Second)
		}
		if busy := float64(worked.Load()) / float64(8*time.Since(w.begin)); busy < 0.85 {
			t.Errorf("the slots were busy for %.0f %% of the time", 100*busy)
		}
		time.Sleep(10 * time.Minute)
		if acks, dead := len(w.only("ack")), len(w.only("dead")); acks != 900 || dead > 1 {
			t.Errorf("%d of 900 batches are done, %d dead letters", acks, dead)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFailureWithoutAClassIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		m.answer = func(ctx context.Context, try int, _ pipeline.Request) (pipeline.Completion, error) {
			if try < 3 {
				return pipeline.Completion{}, context.DeadlineExceeded // the model's own, not ours
			}
			return after(ctx, time.Second)
		}
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"take", "publish", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if at := w.only("ack")[0].at; at < 1600*time.Millisecond || at > 3900*time.Millisecond {
			t.Errorf("done after %s, want two short pauses, a canary and an answer of 1 s each", at)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheSlotIsFreeDuringTheRestOfARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.Retryable, ""}})}
		w.add(1, 1, "bad")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(500 * time.Millisecond)
		w.add(2, 1, "good")
		time.Sleep(time.Minute)
		_, most := m.busy()
		if acks := w.only("ack"); len(acks) != 2 || acks[0].batch != 2 || acks[0].at != 2*time.Second || most != 1 {
			t.Errorf("%+v, at most %d at once; want batch 2 done in the second that batch 1 rests", acks, most)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestACutAnswerGetsTwiceTheRoomOnceIfThereIsAny(t *testing.T) {
	prompt := strings.Repeat("x", 297) // with the system prompt 300 bytes: at most 100 tokens
	for _, c := range []struct {
		name     string
		context  int
		verdicts []pipeline.Class
		rooms    []int
		done     bool
	}{
		{"the context is not known", 0, []pipeline.Class{pipeline.Truncated, ""}, []int{100, 200}, true},
		{"it just fits", 300, []pipeline.Class{pipeline.Truncated, ""}, []int{100, 200}, true},
		{"it does not fit", 299, []pipeline.Class{pipeline.Truncated, ""}, []int{100}, false},
		{"cut again", 0, []pipeline.Class{pipeline.Truncated}, []int{100, 200}, false},
		{"degenerate with more room", 0, []pipeline.Class{pipeline.Truncated, pipeline.Degenerate, ""}, []int{100, 200, 200}, true},
		{"away with more room", 0, []pipeline.Class{pipeline.Truncated, pipeline.Retryable, ""}, []int{100, 200, 200}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{prompt: c.verdicts})}
				w.add(1, 1, prompt)
				r := w.start(config(), LaneConfig{Backend: m, Slots: 1, Context: c.context})
				time.Sleep(time.Minute)
				var rooms []int
				for i, request := range m.asked() {
					rooms = append(rooms, request.Options.NumPredict)
					if first := request.FirstNumPredict; i > 0 && first != 100 {
						t.Errorf("try %d names %d as the tokens of the first one", i+1, first)
					}
				}
				if diff := cmp.Diff(c.rooms, rooms); diff != "" {
					t.Errorf("tokens asked for (-want +got):\n%s", diff)
				}
				want := []string{"take", "publish", "ack"}
				if !c.done {
					want[1] = "dead"
				}
				if diff := cmp.Diff(want, w.story(1)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestMoreRoomEndsAtTheLimit(t *testing.T) {
	l := testLane(LaneConfig{Slots: 1})
	for tokens, want := range map[int]bool{pipeline.MaxNumPredict / 2: true, pipeline.MaxNumPredict/2 + 1: false} {
		if got := l.retry(pipeline.Work{Options: pipeline.Options{NumPredict: tokens}}, pipeline.Generation{}).hasRoom(pipeline.Completion{}); got != want {
			t.Errorf("room for twice %d tokens: %v", tokens, got)
		}
	}
}

func TestTheRoomIsCountedWithThePromptsRealTokens(t *testing.T) {
	l := testLane(LaneConfig{Slots: 1, Context: 1000})
	work := pipeline.Work{Options: pipeline.Options{NumPredict: 100}}
	r := l.retry(work, pipeline.Generation{Messages: pipeline.User(strings.Repeat("x", 3000))})
	for tokens, want := range map[int]bool{0: false, 800: true, 801: false} {
		if got := r.hasRoom(pipeline.Completion{PromptTokens: tokens}); got != want {
			t.Errorf("room with a prompt of %d tokens: %v", tokens, got)
		}
	}
}

// A result that does not name its seed is taken for one with the seed that follows from the run's.
func TestAnAnswerOfAReseededBatchNamesItsSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{}
		w.add(1, 1, "a", "b")
		d := await(t, "a batch on the queue", w.queue, bubbleTime)
		d.Body.Reseeded = true
		w.queue <- d
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if sent := w.of(1)[1].sent.Results; len(sent) != 2 || sent[0].Seed != 1000 || sent[1].Seed != 1001 {
			t.Errorf("the seeds are not recorded: %+v", sent)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestADegenerateAnswerIsTriedOnceWithAnotherSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"once": {pipeline.Degenerate, ""}, "always": {pipeline.Degenerate}})}
		w.add(1, 1, "good", "once")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		w.add(2, 1, "always")
		time.Sleep(time.Minute)

		other := pipeline.Seed(1001, pipeline.GenerationID("r", 11, 1)) // the same on every GPU
		var seeds []int
		for _, request := range m.asked() {
			seeds = append(seeds, request.Seed)
		}
		if diff := cmp.Diff([]int{1000, 1001, other, 1000, pipeline.Seed(1000, pipeline.GenerationID("r", 20, 1))}, seeds); diff != "" {
			t.Errorf("seeds asked for (-want +got):\n%s", diff)
		}
		sent := w.of(1)[1].sent.Results
		if len(sent) != 2 || sent[0].Seed != 0 || sent[1].Seed != other {
			t.Errorf("the seeds are not recorded: %+v", sent)
		}
		if diff := cmp.Diff([]string{"take", "dead", "ack"}, w.story(2)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if f := w.of(2)[1].dead.Failures[0]; f.Class != pipeline.Degenerate || f.Attempts != 2 || f.Seed != 1000 {
			t.Errorf("%+v, want two attempts and the generation's own seed", f)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestABadItemFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.BadItem}})}
		w.add(1, 1, "a", "bad", "c")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"take", "publish", "dead", "ack"}, w.story(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[int]pipeline.Class{1: pipeline.BadItem}, w.failed(1)); diff != "" {
			t.Errorf("failed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int{0, 2}, w.stored(1)); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		if len(m.asked()) != 3 {
			t.Errorf("%d requests, want no second try", len(m.asked()))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFatalFailureOpensTheBreakerOfItsGPUAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		broken, whole := &fakeModel{}, &fakeModel{}
		var mended atomic.Bool
		broken.answer = func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if c, err := after(ctx, time.Second); mended.Load() || err != nil {
				return c, err
			}
			return pipeline.Completion{}, pipeline.Fail(pipeline.Fatal, "the model is not there: pull it")
		}
		for i := range 1000 {
			w.add(i, 1, "a", "b")
		}
		r := w.start(config(), LaneConfig{Name: "broken", Backend: broken, Slots: 2}, LaneConfig{Name: "whole", Backend: whole, Slots: 2})
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if n := len(broken.asked()); n > 4 {
			t.Errorf("the broken GPU was asked %d times, its four workers hold one batch each", n)
		}
		if n := len(w.only("ack")); n < 22 {
			t.Errorf("the other GPU did only %d batches in 25 s", n)
		}
		backs := w.only("hand-back")
		for _, e := range backs {
			if !about(e.delay, 30*time.Second) {
				t.Errorf("batch %d is handed back for %s", e.batch, e.delay)
			}
			if got := w.stored(e.batch); len(got) != 0 {
				t.Errorf("batch %d has answers %v of a broken GPU", e.batch, got)
			}
		}
		if len(backs) == 0 {
			t.Error("nothing was handed back")
		}
		states := r.Snapshot().GPUs
		if states[0].State != pipeline.GPUHeld || states[0].Detail != "the model is not there: pull it" || states[1].State != pipeline.GPUServing {
			t.Errorf("they say %q and %q", states[0].Describe(), states[1].Describe())
		}
		mended.Store(true)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if g := r.Snapshot().GPUs[0]; g.State != "serving" || g.Generations == 0 {
			t.Errorf("mended, it is %+v", g)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// Its workers have asked for work before, and get some afterwards.
func TestAnOpenBreakerLetsNothingNewIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"p": {pipeline.Fatal}})}
		w.add(1, 1, "p")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 2})
		time.Sleep(5 * time.Second)
		w.add(2, 1, "p")
		time.Sleep(5 * time.Second)
		if got := w.handedBack(2); !about(got, 30*time.Second) || len(m.asked()) != 1 {
			t.Errorf("%d tries, batch 2 is handed back for %s", len(m.asked()), got)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGPUThatMayNotTakeWorkSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.failing = pipeline.Fail(pipeline.Fatal, "no permission")
		r := w.start(config(), LaneConfig{Backend: &fakeModel{}, Slots: 1})
		time.Sleep(50 * time.Second)
		synctest.Wait()
		g := r.Snapshot().GPUs[0]
		if n, _ := w.calls(); n > 2*3 || g.State != pipeline.GPUHeld || g.Detail != "no permission" {
			t.Errorf("asked %d times in 50 s by three workers, want each at most twice; state %q", n, g.Describe())
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheFailureThatDecidesIsTheGravest(t *testing.T) {
	interrupted, fatal := pipeline.Fail(pipeline.Interrupted, "i"), pipeline.Fail(pipeline.Fatal, "f")
	retryable, other := pipeline.Fail(pipeline.Retryable, "r"), errors.New("o")
	away, aside := fmt.Errorf("%w: %w", errAway, retryable), fmt.Errorf("%w: its server cuts prompts", errSetAside)
	for _, c := range []struct{ a, b, want error }{
		{nil, other, other}, {other, retryable, other}, {retryable, away, away}, {away, retryable, away}, {away, fatal, fatal}, {fatal, away, fatal}, {fatal, interrupted, interrupted}, {interrupted, fatal, interrupted},
		{retryable, aside, aside}, {aside, other, aside}, {aside, away, away}, {away, aside, away}, {aside, fatal, fatal}, {interrupted, aside, interrupted},
	} {
		if got := graver(c.a, c.b); got != c.want {
			t.Errorf("of %v and %v it is %v", c.a, c.b, got)
		}
	}
}
