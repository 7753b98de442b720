package sink

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gleaner/internal/pipeline"
)

// Two digests under one name.
var digestA, digestB = strings.Repeat("a", 64), strings.Repeat("b", 64)

// of returns a message whose answers are of a digest.
func of(digest string, m pipeline.Results) pipeline.Results {
	m.Engine, m.Digest = pipeline.Ollama, digest
	return m
}

// pinned pins run r.
func (w *world) pinned(pins map[pipeline.EngineName]string) {
	w.set(func() {
		run := w.runs["r"]
		run.Pins = pins
		w.runs["r"] = run
	})
}

// pins returns the pins of run r.
func (w *world) pins() (pins map[pipeline.EngineName]string) {
	w.set(func() { pins = w.runs["r"].Pins })
	return pins
}

// what returns what happened, in order.
func (w *world) what() (words []string) {
	w.set(func() {
		for _, e := range w.events {
			words = append(words, e.what)
		}
	})
	return words
}

func TestTheFirstAnswerPinsTheRunBeforeItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.send(0, of(digestA, message(0, 0, 1)))
		w.send(1, of(digestA, message(1, 0, 1, 2, 3)))
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if diff := cmp.Diff([]string{"pin", "write", "ack", "ack"}, w.what()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[pipeline.EngineName]string{pipeline.Ollama: digestA}, w.pins()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if logged := r.logs.FilterMessageSnippet("pinned").All(); len(logged) != 1 || logged[0].ContextMap()["digest"] != digestA {
			t.Errorf("logged: %v", logged)
		}
	})
}

// Whatever comes in one flush, the first answer pins and the others have to be of its digest.
func TestAnswersOfAnotherDigestAreRefusedAndTheirBatchIsMarked(t *testing.T) {
	for name, pins := range map[string]map[pipeline.EngineName]string{"not pinned": nil, "pinned": {pipeline.Ollama: digestA}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.pinned(pins)
				w.send(0, of(digestA, message(0, 0, 1, 2, 3)))
				w.send(1, of(digestB, message(1, 0, 1)))
				w.send(2, of(digestA, message(1, 2, 3)))
				w.send(3, of(digestB, message(2, 0, 1, 2, 3)))
				registry := prometheus.NewRegistry()
				r := w.start(Config{Metrics: NewMetrics(registry)})
				r.end(t, 5*time.Second)
				got := []string{strings.Join(w.of(0), " "), strings.Join(w.of(1), " "), strings.Join(w.of(2), " "), strings.Join(w.of(3), " ")}
				if diff := cmp.Diff([]string{"ack", "reject", "ack", "reject"}, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if len(w.stored) != 6 || w.batches["r/0000000"].Refused != 0 || w.batches["r/0000001"].Refused != 1 || w.batches["r/0000002"].Refused != 1 {
					t.Errorf("%d are stored; the batches are %+v", len(w.stored), []pipeline.Batch{w.batches["r/0000000"], w.batches["r/0000001"], w.batches["r/0000002"]})
				}
				words := w.what()
				if slices.Index(words, "refuse") > slices.Index(words, "reject") {
					t.Errorf("a message was rejected before its batch was marked: %v", words)
				}
				reason := w.only("reject")[0].reason
				for _, part := range []string{digestA, digestB, "producer pin --run r " + digestB} {
					if !strings.Contains(reason, part) {
						t.Errorf("the reason does not name %s: %s", part, reason)
					}
				}
				want := map[string]float64{"gleaner_results_other_digest_total": 2, "gleaner_results_rejected_total": 0}
				if diff := cmp.Diff(want, gathered(t, registry, "gleaner_results_other", "gleaner_results_rejected")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWhoMayAnswerAPinnedRun(t *testing.T) {
	for _, c := range []struct {
		name   string
		pins   map[pipeline.EngineName]string
		engine pipeline.EngineName
		digest string
		want   string
		after  map[pipeline.EngineName]string
	}{
		{"any digest if any is allowed", map[pipeline.EngineName]string{"ollama": pipeline.PinAny}, "ollama", digestB, "ack", map[pipeline.EngineName]string{"ollama": pipeline.PinAny}},
		{"the pinned one", map[pipeline.EngineName]string{"ollama": digestB}, "ollama", digestB, "ack", map[pipeline.EngineName]string{"ollama": digestB}},
		{"another engine, which has a pin of its own", map[pipeline.EngineName]string{"ollama": digestA}, "other", "model-name", "ack", map[pipeline.EngineName]string{"ollama": digestA, "other": "model-name"}},
		{"an earlier consumer, if no run is pinned", nil, "", "", "ack", nil},
		{"an earlier consumer, if an answer pinned the run", map[pipeline.EngineName]string{"ollama": digestA}, "", "", "ack", map[pipeline.EngineName]string{"ollama": digestA}},
		{"no earlier consumer, if a person pinned the run", map[pipeline.EngineName]string{"ollama": digestA, "unsaid": digestA}, "", "", "reject", map[pipeline.EngineName]string{"ollama": digestA, "unsaid": digestA}},
		{"an earlier consumer, if a person allows any", map[pipeline.EngineName]string{"ollama": "any", "unsaid": "any"}, "", "", "ack", map[pipeline.EngineName]string{"ollama": "any", "unsaid": "any"}},
		{"nothing without a digest, if a person pinned the run", map[pipeline.EngineName]string{"ollama": digestA, "unsaid": digestA}, "ollama", "", "reject", map[pipeline.EngineName]string{"ollama": digestA, "unsaid": digestA}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.pinned(c.pins)
				m := message(0, 0)
				m.Engine, m.Digest = c.engine, c.digest
				w.send(0, m)
				r := w.start(Config{})
				r.end(t, 5*time.Second)
				if diff := cmp.Diff([]string{c.want}, w.of(0)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.after, w.pins()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What a person pins counts from the next flush on, and the change is said.
func TestAPinThatIsChangedCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(Config{})
		w.send(0, of(digestA, message(0, 0, 1, 2, 3)))
		w.send(1, of(digestB, message(1, 0)))
		time.Sleep(5 * time.Second)
		w.pinned(map[pipeline.EngineName]string{pipeline.Ollama: digestB, pipeline.EngineUnsaid: digestB})
		w.send(2, of(digestB, message(2, 0)))
		w.send(3, of(digestA, message(3, 0)))
		r.end(t, 5*time.Second)
		if got := slices.Concat(w.of(0), w.of(1), w.of(2), w.of(3)); !slices.Equal(got, []string{"ack", "reject", "ack", "reject"}) {
			t.Errorf("%v", got)
		}
		logged := r.logs.FilterMessage("the run is pinned to another digest").All()
		if len(logged) != 1 || logged[0].ContextMap()["before"] != digestA || logged[0].ContextMap()["now"] != digestB {
			t.Errorf("logged: %v", logged)
		}
	})
}

// An answer that comes again after the pin was changed is stored already, so its batch needs no
// round because of it. One of a round that is over changes nothing, either.
func TestWhatNeedsNoOtherRoundIsNotMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(Config{})
		w.send(0, of(digestA, message(0, 0, 1)))
		time.Sleep(5 * time.Second)
		w.pinned(map[pipeline.EngineName]string{pipeline.Ollama: digestB})
		w.set(func() {
			b := w.batches["r/0000001"]
			b.Round = 2
			w.batches["r/0000001"] = b
		})
		w.send(1, of(digestA, message(0, 0, 1)))
		w.send(2, of(digestA, message(1, 0)))
		r.end(t, 5*time.Second)
		if got := slices.Concat(w.of(1), w.of(2)); !slices.Equal(got, []string{"ack", "reject"}) {
			t.Errorf("%v", got)
		}
		if marked := w.only("refuse"); len(marked) != 0 {
			t.Errorf("marked: %v", marked)
		}
	})
}

// The publisher writes down that a batch is queued after it published it. An answer may come
// between the two, and the mark stays.
func TestAnAnswerThatComesBeforeItsBatchIsMarkedAsQueuedIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeps = true
		w.pinned(map[pipeline.EngineName]string{pipeline.Ollama: digestA})
		w.set(func() {
			b := w.batches["r/0000000"]
			b.State = pipeline.Planned
			w.batches["r/0000000"] = b
		})
		r := w.start(Config{})
		w.send(0, of(digestB, message(0, 0, 1, 2, 3)))
		r.end(t, 5*time.Second)
		if got := w.of(0); !slices.Equal(got, []string{"reject"}) || w.batches["r/0000000"].Refused != 1 {
			t.Errorf("%v; the batch is %+v", got, w.batches["r/0000000"])
		}
	})
}

func TestAStoreThatIsAwayLosesNoPinAndNoMark(t *testing.T) {
	for _, call := range []string{"Pin", "Refuse"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				failures := 0
				w.storeFault = func(name string) error {
					if failures++; name == call && failures < 10 {
						return errAway
					}
					return nil
				}
				w.send(0, of(digestA, message(0, 0, 1, 2, 3)))
				w.send(1, of(digestB, message(1, 0)))
				r := w.start(Config{})
				r.end(t, 5*time.Minute)
				if got := slices.Concat(w.of(0), w.of(1)); !slices.Equal(got, []string{"ack", "reject"}) || len(w.only("refuse")) != 1 || len(w.only("pin")) != 1 {
					t.Errorf("%v, %v", got, w.what())
				}
			})
		})
	}
}

func TestAnswersOfARunThatIsDeletedMeanwhileHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.storeFault = func(name string) error {
			if name == "Pin" {
				delete(w.runs, "r")
			}
			return nil
		}
		w.send(0, of(digestA, message(0, 0)))
		r := w.start(Config{})
		r.end(t, time.Minute)
		if got := w.of(0); !slices.Equal(got, []string{"hand-back", "reject"}) {
			t.Errorf("%v", got)
		}
	})
}

// A consumer that names an engine of its own in each message does not make the run grow.
func TestARunHasAFewEnginesAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 20 {
			m := message(i, 0)
			m.Engine, m.Digest = pipeline.EngineName(fmt.Sprintf("engine-%d", i)), "d"
			w.send(i, m)
		}
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if n := len(w.pins()); n != maxEngines || len(w.stored) != maxEngines || len(w.only("reject")) != 20-maxEngines {
			t.Errorf("%d pins, %d stored, %d rejected", n, len(w.stored), len(w.only("reject")))
		}
	})
}
