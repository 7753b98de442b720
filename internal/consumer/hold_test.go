package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/pipeline"
)

// A brokenModel answers nothing but empty texts while it is broken, canaries included unless it
// says good words.
type brokenModel struct {
	fakeModel
	broken    atomic.Bool
	goodWords bool
	takes     time.Duration
}

func newBroken(goodWords bool) *brokenModel {
	m := &brokenModel{goodWords: goodWords, takes: 100 * time.Millisecond}
	m.broken.Store(true)
	m.answer = func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
		completion, err := after(ctx, m.takes+time.Duration(rand.Int64N(int64(m.takes)))) // not all in the same moment
		if err == nil && m.broken.Load() && !(m.goodWords && isCanary(r)) {
			return pipeline.Completion{}, pipeline.Fail(pipeline.Degenerate, "generate: %w", pipeline.ErrEmpty)
		}
		return completion, err
	}
	return m
}

// rows returns how many different prompts were begun.
func (m *brokenModel) rows() int {
	rows := map[string]bool{}
	for _, r := range m.asked() {
		rows[r.Prompt()] = true
	}
	return len(rows)
}

// addRows puts batches of one generation on the queue, each of which is there again when it was
// handed back.
func (w *world) addRows(n int) {
	w.again = func(batch int) { w.add(batch, 2, fmt.Sprint("row ", batch)) }
	for i := range n {
		w.again(i)
	}
}

func TestABrokenGPUTakesNothingWhileAnotherOneServes(t *testing.T) {
	const slots = 4
	for name, goodWords := range map[string]bool{"its canary is no answer": false, "its canary is a good one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, broken, q := newWorld(t), newBroken(goodWords), &queueInfo{info: pipeline.RunInfo{Lanes: 2}}
				w.addRows(400)
				r := w.start(watched(q), LaneConfig{Name: "bad", Backend: broken, Slots: slots})
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if said := r.stateOf(0); said != "held: its last 8 answers all failed (empty answer)" {
					t.Errorf("it says %q", said)
				}
				if n := broken.rows(); n > streakLimit+slots {
					t.Errorf("it began %d rows", n)
				}
				q.set(func(info *pipeline.RunInfo) { info.Lanes = 1 }) // the other one
				begun := broken.rows()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				want := 0
				if goodWords { // after 1, 2 and 4 minutes
					want = 3
				}
				if n := broken.rows() - begun; n != want {
					t.Errorf("it began %d rows in ten minutes, want %d", n, want)
				}
				if now := w.lastPresence().GPUs[0]; now.State != pipeline.GPUHeld {
					t.Errorf("others see %+v", now)
				}
				broken.broken.Store(false)
				time.Sleep(16 * time.Minute)
				if said := r.stateOf(0); said != "serving" || len(w.only("publish")) < 300 {
					t.Errorf("when it is whole again it says %q, and published %d", said, len(w.only("publish")))
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWhereNoOtherGPUServesABrokenOneTakesOneBatchAfterTheOther(t *testing.T) {
	for name, lanes := range map[string]int{"nothing is known of others": 0, "it was the only one": 1, "the other one ends later": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, broken, q := newWorld(t), newBroken(false), &queueInfo{info: pipeline.RunInfo{Lanes: lanes}}
				w.addRows(100)
				r := w.start(watched(q), LaneConfig{Name: "bad", Backend: broken, Slots: 4})
				time.Sleep(time.Minute) // then the queue knows
				q.set(func(info *pipeline.RunInfo) { info.Lanes = 0 })
				time.Sleep(10 * time.Second)
				if n := broken.rows(); lanes > 1 && n > streakLimit+4 {
					t.Errorf("it began %d rows before it could know that it is alone", n)
				}
				time.Sleep(9 * time.Minute)
				synctest.Wait()
				if n := len(w.only("dead")); n != 100 {
					t.Fatalf("%d of 100 rows have their dead letter", n)
				}
				if _, most := broken.busy(); most > 4 {
					t.Errorf("%d at a time", most)
				}
				for i, e := range w.only("dead")[20:] { // one batch at a time, each after a word
					if i > 0 && e.at-w.only("dead")[19+i].at < 3*broken.takes {
						t.Fatalf("letters %d and %d came within %s", 19+i, 20+i, e.at-w.only("dead")[19+i].at)
					}
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Bad rows in a row look like a broken GPU. Where it has been the only one anyway, that costs it no
// time to speak of.
func TestAGPUThatHasBeenAloneLosesNoTimeToBadRows(t *testing.T) {
	for name, lanes := range map[string]int{"nothing is known of others": 0, "it is the only one": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rows, slots = 400, 4
				began := time.Now()
				w, q := newWorld(t), &queueInfo{info: pipeline.RunInfo{Lanes: lanes}}
				m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
					completion, err := after(ctx, time.Second)
					var row int
					if fmt.Sscanf(r.Prompt(), "row %d", &row); err == nil && row >= 200 && row%40 < 20 {
						return pipeline.Completion{}, pipeline.Fail(pipeline.Degenerate, "generate: %w", pipeline.ErrEmpty)
					}
					return completion, err
				}}
				w.addRows(rows)
				r := w.start(watched(q), LaneConfig{Name: "one", Backend: m, Slots: slots})
				for len(w.only("publish"))+len(w.only("dead")) < rows && time.Since(began) < time.Hour {
					time.Sleep(time.Second)
				}
				if n := len(w.only("dead")); n != 100 {
					t.Errorf("%d rows have a dead letter, want 100", n)
				}
				// Each of the bad ones is tried several times, and most of them one after the other.
				if took := time.Since(began); took > 5*time.Minute {
					t.Errorf("it took %s", took)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPromptsThatAreTooLongSayNothingAboutTheGPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if strings.HasPrefix(r.Prompt(), "row 9") {
				return after(ctx, time.Second)
			}
			return pipeline.Completion{}, pipeline.Fail(pipeline.BadItem, "%w", &pipeline.ContextError{PromptTokens: 900, Context: 512, Err: fmt.Errorf("too long")})
		}}
		w.addRows(100)
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1, Context: 512})
		time.Sleep(time.Minute)
		if acks := len(w.only("ack")); acks != 100 || r.stateOf(0) != "serving" {
			t.Errorf("%d of 100 batches are done, it says %q", acks, r.stateOf(0))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAGPUThatFailsNowAndThenIsNotDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := &fakeModel{answer: func(ctx context.Context, _ int, r pipeline.Request) (pipeline.Completion, error) {
			if strings.HasSuffix(r.Prompt(), "4") {
				return after(ctx, time.Second)
			}
			return pipeline.Completion{}, pipeline.Fail(pipeline.Truncated, "cut")
		}}
		for i := range 100 { // four of five fail
			w.add(i, 1, fmt.Sprint("row ", i%5))
		}
		r := w.start(config(), LaneConfig{Backend: m, Slots: 1})
		time.Sleep(time.Minute)
		if acks := len(w.only("ack")); acks != 100 || r.stateOf(0) != "serving" {
			t.Errorf("%d of 100 batches are done, it says %q", acks, r.stateOf(0))
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestACanaryHasToSaySomething(t *testing.T) {
	for _, c := range []struct {
		text     string
		thinking int
		failure  error
		ok       bool
	}{
		{"Hello! How can I help you today?", 0, nil, true},
		{"Hello! How can I help you", 0, pipeline.Fail(pipeline.Truncated, "cut at its length"), true},
		{"", 80, pipeline.Fail(pipeline.Truncated, "it was still thinking"), true},
		{"Hello! How", 0, pipeline.Fail(pipeline.Truncated, "cut before its length"), false},
		{" \n", 0, pipeline.Fail(pipeline.Truncated, "cut at its length"), false},
		{"", 0, pipeline.Fail(pipeline.Degenerate, "%w", pipeline.ErrEmpty), false},
		{strings.Repeat("G", 32), 0, pipeline.Fail(pipeline.Truncated, "cut at its length"), false},
		{strings.Repeat("the ", 32), 0, nil, false},
		{"Hel", 0, pipeline.Fail(pipeline.Retryable, "cut off"), false},
		{"Hello", 0, pipeline.Fail(pipeline.BadItem, "template"), false},
	} {
		m := &fakeModel{answer: func(context.Context, int, pipeline.Request) (pipeline.Completion, error) {
			tokens := canaryTokens
			if c.text == "Hello! How" {
				tokens = 3
			}
			return pipeline.Completion{Text: c.text, Thinking: c.thinking, OutputTokens: tokens}, c.failure
		}}
		l := testLane(LaneConfig{Backend: m, Slots: 1})
		err := l.requests.Canary(t.Context(), pipeline.Request{Options: pipeline.Options{NumPredict: 1000}}, false)
		if (err == nil) != c.ok {
			t.Errorf("%q with %v: %v", c.text, c.failure, err)
		}
		if asked := m.requests[0]; asked.Options.NumPredict != canaryTokens {
			t.Errorf("it asks for %d tokens", asked.Options.NumPredict)
		}
	}
}

func TestANewServerIsNotChargedWithTheVerdictsOfTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, renew := range map[string]func(l *lane, s *modelServer){
			"the server was restarted": func(l *lane, _ *modelServer) { l.Open(4096) },
			"it has another model": func(l *lane, s *modelServer) {
				s.switchTo(digestB)
				l.model.Look(t.Context())
			},
			"it has another version": func(l *lane, s *modelServer) {
				s.info.ServerVersion = "0.18.0"
				l.model.Look(t.Context())
			},
		} {
			s := newModelServer(digestA, 4096)
			s.info.ServerVersion = "0.17.4"
			l, empty := testLane(s.lane("T4", 4)), pipeline.Fail(pipeline.Degenerate, "%w", pipeline.ErrEmpty)
			for range streakLimit {
				l.record.Verdict(pipeline.Request{}, empty)
			}
			l.resize()
			l.breaker.Doubt(streakLimit, empty, pipeline.Request{})
			l.model.Look(t.Context())
			if l.record.Streak() != streakLimit || l.breaker.Closed() {
				t.Errorf("%s: before that it has %d verdicts in a row", name, l.record.Streak())
			}
			renew(l, s)
			_, batches := l.batches.InUse()
			if n := l.record.Streak(); n != 0 || batches != 4+spareBatches || !l.breaker.Closed() {
				t.Errorf("%s: %d verdicts in a row, %d batches at a time, closed: %t", name, n, batches, l.breaker.Closed())
			}
		}
	})
}
