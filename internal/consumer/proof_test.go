package consumer

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// provenAt returns from when on others could see that n outcomes are proven; 0: never.
func (w *world) provenAt(n int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.presences {
		if len(p.GPUs) > 0 && p.GPUs[0].Proven >= n {
			return p.Seen.Sub(w.begin)
		}
	}
	return 0
}

func TestOutcomesAreNumberedAndProvenByWhatBeganAfterThem(t *testing.T) {
	var r record
	truncated := pipeline.Fail(pipeline.Truncated, "cut")
	number := func(err error) int {
		n, _ := r.Verdict(pipeline.Request{}, err)
		return n
	}
	first := r.Begin() // before any verdict
	one, two := number(truncated), number(truncated)
	if r.Stored([]int{first}) || r.Proven() != 0 { // it says nothing about what came meanwhile
		t.Errorf("an answer that began before proves %d", r.Proven())
	}
	three := number(pipeline.Fail(pipeline.BadItem, "no doubt about the GPU"))
	second := r.Begin()
	if !r.Stored([]int{second}) || r.Proven() != three || r.Waiting() != nil {
		t.Errorf("an answer that began after them proves %d, want %d", r.Proven(), three)
	}
	last := number(truncated)
	if diff := cmp.Diff([]int{1, 2, 4, 6}, []int{one, two, three, last}); diff != "" { // the stored ones are 3 and 5
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if r.Waiting() == nil {
		t.Error("nothing waits for a proof")
	}
	if r.Passed(r.Begin()); r.Proven() != last || r.Waiting() != nil || !r.Settled(three) {
		t.Errorf("a canary proves %d, want %d", r.Proven(), last)
	}
}

func TestALongRowOfVerdictsStaysInDoubt(t *testing.T) {
	var r record
	verdicts := func(n int) {
		for range n {
			r.Verdict(pipeline.Request{}, pipeline.ErrEmpty)
		}
	}
	answer := func() {
		begun := r.Begin()
		r.Answered(begun, pipeline.Completion{})
		r.Stored([]int{begun})
	}
	verdicts(streakLimit - 1)
	answer()
	if r.Doubted() != nil {
		t.Errorf("a short row is in doubt: %v", r.Doubted())
	}
	verdicts(streakLimit)
	if want := []pipeline.OutcomeRange{{First: 9, Last: 16}}; !slices.Equal(r.Doubted(), want) {
		t.Errorf("in doubt are %v, want %v", r.Doubted(), want)
	}
	answer()
	verdicts(streakLimit + 2)
	r.Restart() // another server
	answer()
	if want := []pipeline.OutcomeRange{{First: 9, Last: 16}, {First: 18, Last: 27}}; !slices.Equal(r.Doubted(), want) || r.Proven() < 27 {
		t.Errorf("in doubt are %v of %d, want %v", r.Doubted(), r.Proven(), want)
	}
	for range 2 * pipeline.MaxDoubtedNamed {
		verdicts(streakLimit)
		answer()
	}
	if n := len(r.Doubted()); n != pipeline.MaxDoubtedNamed {
		t.Errorf("%d rows are named", n)
	}
}

func TestAnIdleGPUProvesItsVerdictsAndSaysSoAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		class  pipeline.Class
		broken bool
		proven bool
		words  int // canaries in a minute, at most
	}{
		"a verdict that holds if the GPU works": {pipeline.Truncated, false, true, 1},
		"the GPU is broken":                     {pipeline.Degenerate, true, false, 5},
		"a verdict that holds anyway":           {pipeline.BadItem, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				verdicts := map[string][]pipeline.Class{"bad": {c.class}}
				if c.broken {
					verdicts[pipeline.CanaryPrompt] = []pipeline.Class{pipeline.Degenerate}
				}
				m := &fakeModel{answer: failing(verdicts)}
				w.add(1, 1, "good", "bad")
				cfg := config()
				cfg.Lease = time.Hour // so that only news is said
				r := w.start(cfg, LaneConfig{Backend: m, Slots: 1})
				time.Sleep(time.Minute)
				synctest.Wait()
				at, letter := w.provenAt(1), w.only("dead")[0]
				if (at > 0) != c.proven || at > letter.at+4*time.Second {
					t.Errorf("the letter came at %s, and that its verdict holds was said at %s", letter.at, at)
				}
				if n := m.canaries(); n > c.words || c.words > 0 && n == 0 {
					t.Errorf("%d words were asked for, want at most %d", n, c.words)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// At work there is no need for a canary: the next answer proves it.
func TestABusyGPUIsProvenByItsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t), &fakeModel{answer: failing(map[string][]pipeline.Class{"bad": {pipeline.Truncated}})}
		w.add(1, 1, "bad")
		for i := range 200 {
			w.add(2+i, 1, "good")
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if now := r.Snapshot().GPUs[0]; now.Proven < 50 || m.canaries() != 0 {
			t.Errorf("%d outcomes are proven, after %d canaries", now.Proven, m.canaries())
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestPresenceSaysWhatRestsAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "%w", &pipeline.StatusError{Code: 500, Err: context.Canceled})
		}}
		w.add(7, 1, "a")
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		for len(w.only("hand-back")) == 0 {
			time.Sleep(time.Second)
		}
		now := r.Snapshot().GPUs[0]
		if now.Resting != 1 || now.RestSeconds < 20 || now.RestSeconds > 34 || now.RestingBecause != "the server answers 500" || !cmp.Equal(now.RestingBatches, []int{7}) {
			t.Errorf("it says %+v", now)
		}
		time.Sleep(time.Minute)
		if now := r.Snapshot().GPUs[0]; now.Resting != 0 || now.RestingBecause != "" || now.RestingBatches != nil {
			t.Errorf("later it says %+v", now)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestNoBatchRestsForLongWhileAnotherGPUServes(t *testing.T) {
	for lanes, want := range map[int]time.Duration{0: maxRestAlone, 3: maxRest} {
		synctest.Test(t, func(t *testing.T) {
			w, q := newWorld(t), &queueInfo{info: pipeline.RunInfo{Lanes: lanes}}
			m := &fakeModel{answer: failing(map[string][]pipeline.Class{"p": {pipeline.Retryable}, pipeline.CanaryPrompt: {pipeline.Retryable}})}
			w.add(1, 9, "p")
			r := w.start(watched(q), LaneConfig{Backend: m, Slots: 1})
			for len(w.only("hand-back")) == 0 {
				time.Sleep(time.Second)
			}
			if got := w.handedBack(1); !about(got, want) {
				t.Errorf("with %d GPUs it rests %s, want about %s", lanes, got, want)
			}
			if err := r.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A GPU that breaks in the middle of its work still has answers on their way.
func TestAnAnswerThatBeganBeforeARowOfVerdictsDoesNotEndIt(t *testing.T) {
	var r record
	before := r.Begin()
	r.Verdict(pipeline.Request{}, pipeline.Fail(pipeline.Degenerate, "empty"))
	after := r.Begin()
	if r.Answered(before, pipeline.Completion{}); r.Streak() != 1 {
		t.Errorf("an answer that began before leaves a row of %d", r.Streak())
	}
	if r.Answered(after, pipeline.Completion{}); r.Streak() != 0 {
		t.Errorf("an answer that began after leaves a row of %d", r.Streak())
	}
}
