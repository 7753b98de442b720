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

// keyed gives run r a key.
func (w *world) keyed() pipeline.Key {
	key := pipeline.NewKey()
	w.set(func() {
		run := w.runs["r"]
		run.Key = key
		w.runs["r"] = run
	})
	return key
}

// Only who was handed a batch can answer it. What is refused is named by the consumer that it
// names, and its batch is marked, unless that is in another round or at its end.
func TestAnAnswerWithoutTheTokenOfItsBatchIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(key pipeline.Key, m *pipeline.Results)
		want   string
		marked int // the round for which the batch is marked
	}{
		{"none", func(_ pipeline.Key, m *pipeline.Results) { m.Token = nil }, "it brings back no token: batch r/0000000 was not handed to its consumer, or that is too old", 2},
		{"made up", func(_ pipeline.Key, m *pipeline.Results) { m.Token = make(pipeline.Token, 16) }, "its token is not that of round 2 of batch r/0000000", 2},
		{"of another run", func(_ pipeline.Key, m *pipeline.Results) { m.Token = pipeline.NewKey().Token("u", 0, 2) }, "its token is not that of round 2 of batch r/0000000", 2},
		{"of another batch", func(key pipeline.Key, m *pipeline.Results) { m.Token = key.Token("u", 1, 2) }, "its token is not that of round 2 of batch r/0000000", 2},
		{"of the round before", func(key pipeline.Key, m *pipeline.Results) { m.Token = key.Token("u", 0, 1) }, "its token is not that of round 2 of batch r/0000000", 2},
		{"none, in the round before", func(_ pipeline.Key, m *pipeline.Results) { m.Token, m.Round = nil, 1 }, "it brings back no token: batch r/0000000 was not handed to its consumer, or that is too old", 0},
		{"of a round that was never", func(key pipeline.Key, m *pipeline.Results) { m.Token, m.Round = key.Token("u", 0, 3), 3 }, "batch r/0000000 is in round 2, and it is of round 3", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				w := newWorld(t)
				key := w.keyed()
				w.set(func() {
					b := w.batches["r/0000000"]
					b.Round = 2
					w.batches["r/0000000"] = b
				})
				forged, other := message(0, 0, 1), message(5, 0, 1, 2, 3)
				forged.Consumer, forged.Round, forged.Token = "\x1b[2JLIAR", 2, key.Token("u", 0, 2)
				c.change(key, &forged)
				other.Token = key.Token("u", 5, 1)
				for i := range 8 {
					w.send(i, forged)
				}
				w.send(8, other)
				r := w.start(Config{Metrics: NewMetrics(registry)})
				r.end(t, 5*time.Second)
				if got := w.only("reject"); len(got) != 8 || got[0].reason != c.want || len(w.stored) != 4 || !slices.Equal(w.of(8), []string{"ack"}) {
					t.Errorf("%v, %d stored, the good one: %v", got, len(w.stored), w.of(8))
				}
				if b := w.batch(0); b.Refused != c.marked || len(w.only("refuse")) != min(c.marked, 1) {
					t.Errorf("marked %d times: %+v", len(w.only("refuse")), b)
				}
				// With another reason than the first, the line may tell of one.
				logged := r.logs.FilterMessageSnippet("refused").All()
				if len(logged) != 1 || !strings.Contains(fmt.Sprint(logged[0].ContextMap()["consumers"]), "LIAR (1)") || strings.Contains(fmt.Sprint(logged[0].ContextMap()), "\x1b") {
					t.Errorf("logged: %v", logged)
				}
				counted := gathered(t, registry, "gleaner_results_without_token", "gleaner_results_rejected")
				if counted["gleaner_results_without_token_total"]+counted["gleaner_results_rejected_total"] != 8 {
					t.Errorf("counted: %v", counted)
				}
			})
		})
	}
}

// An answer of an earlier round is as good as any: its batch was repaired, and the first answer is
// there after all.
func TestAnAnswerOfAnEarlierRoundIsStoredWithThatRoundsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.keyed()
		w.set(func() {
			b := w.batches["r/0000000"]
			b.Round = 3
			w.batches["r/0000000"] = b
		})
		m := message(0, 0, 1, 2, 3)
		m.Token = key.Token("u", 0, 1)
		w.send(0, m)
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if len(w.stored) != 4 || !slices.Equal(w.of(0), []string{"ack"}) {
			t.Errorf("%d stored, %v", len(w.stored), w.of(0))
		}
	})
}

// The sink remembers the round of a batch and asks again only for a later one.
func TestAnAnswerOfARoundThatBeganSinceIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.keyed()
		r := w.start(Config{})
		for n := 1; n <= 2; n++ {
			w.set(func() {
				b := w.batches["r/0000000"]
				b.Round = n
				w.batches["r/0000000"] = b
			})
			m := message(0, n)
			m.Round, m.Token = n, key.Token("u", 0, n)
			w.send(n, m)
			time.Sleep(5 * time.Second)
		}
		r.end(t, time.Second)
		if len(w.stored) != 2 {
			t.Errorf("%d stored: %v, %v", len(w.stored), w.of(1), w.of(2))
		}
	})
}

func TestARunWithoutAKeyTakesAnswersWithoutTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := message(0, 0, 1)
		m.Token = pipeline.Token("from another run")
		w.send(0, m)
		w.send(1, message(0, 2))
		w.bury(2, deadLetter(0, 3))
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if b := w.batch(0); len(w.stored) != 3 || b.State != pipeline.Dead {
			t.Errorf("%d stored, the batch is %+v", len(w.stored), b)
		}
	})
}

func TestADeadLetterWithoutItsTokenIsNotTakenAndItsBatchIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		w := newWorld(t)
		key := w.keyed()
		good, forged, planned := deadLetter(0, 0, 1, 2, 3), deadLetter(1, 0, 1, 2, 3), deadLetter(2, 0, 1, 2, 3)
		good.Token, forged.Token = key.Token("u", 0, 1), key.Token("u", 0, 1)
		w.set(func() {
			b := w.batches["r/0000002"] // its publisher has not marked it as queued yet
			b.State = pipeline.Planned
			w.batches["r/0000002"] = b
		})
		for i, d := range []pipeline.DeadLetter{good, forged, planned} {
			w.dead <- letter{Body: pipeline.StoredDeadLetter{DeadLetter: d, Sequence: uint64(i + 1)}, Subject: "x", Deliveries: 1, Receipt: &receipt{w: w, number: i}}
		}
		r := w.start(Config{Metrics: NewMetrics(registry)})
		r.end(t, 5*time.Second)
		if diff := cmp.Diff([]string{"r/0000000.1"}, w.failed); diff != "" {
			t.Errorf("the store was told (-want +got):\n%s", diff)
		}
		if one, two := w.batch(1), w.batch(2); one.Refused != 1 || one.State != pipeline.Queued || two.Refused != 1 || two.State != pipeline.Planned {
			t.Errorf("%+v and %+v", one, two)
		}
		want := map[string]float64{"gleaner_dead_letters_total bad-item": 1, "gleaner_dead_letters_ignored_total refused": 2}
		if diff := cmp.Diff(want, gathered(t, registry, "gleaner_dead")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// However often a batch is answered falsely, it is marked once in each round.
func TestAFlushOfForgedAnswersCostsOneMarkForEachBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keyed()
		for i := range 600 {
			w.send(i, message(i%3, 0))
		}
		r := w.start(Config{})
		r.end(t, 30*time.Second)
		if marks := w.only("refuse"); len(marks) != 3 || len(w.only("reject")) != 600 {
			t.Errorf("%d marks, %d refused", len(marks), len(w.only("reject")))
		}
	})
}

func TestConsumersThatAreTooOldAreNamedOnceWithin15Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keyed()
		w.runs["earlier"] = pipeline.Run{Name: "earlier", UID: "e", State: pipeline.RunOpen}
		r := w.start(Config{})
		time.Sleep(time.Second)
		w.set(func() {
			w.consumers = []pipeline.Presence{
				{ID: "new", Run: "r", Tokens: true}, {ID: "old", Run: "r", Host: "kaggle\x1b[2J", Version: "v0.3.0"}, {ID: "other", Run: "earlier"}, {ID: "lost", Run: "unknown"},
			}
		})
		time.Sleep(15 * time.Second)
		logged := r.logs.FilterMessageSnippet("too old").All()
		if len(logged) != 1 || logged[0].ContextMap()["consumer"] != "old" || logged[0].ContextMap()["version"] != "v0.3.0" || strings.Contains(fmt.Sprint(logged[0].ContextMap()), "\x1b") {
			t.Errorf("logged: %v", logged)
		}
		r.end(t, 5*time.Minute)
		if logged := r.logs.FilterMessageSnippet("too old").All(); len(logged) != 1 {
			t.Errorf("logged %d times", len(logged))
		}
	})
}
