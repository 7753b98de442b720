package consumer

import (
	"context"
	"errors"
	"fmt"
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

var (
	digestA = strings.Repeat("a", 64)
	digestB = strings.Repeat("b", 64)
)

func pinned(digest string) func(*pipeline.RunInfo) {
	return func(info *pipeline.RunInfo) {
		info.Pins = map[pipeline.EngineName]string{pipeline.Ollama: digest}
	}
}

// digests returns how many answers of each digest were published.
func (w *world) digests() map[string]int {
	all := map[string]int{}
	for _, e := range w.only("publish") {
		all[e.sent.Digest] += len(e.sent.Results)
	}
	return all
}

func TestAnotherDigestThanTheRunsHoldsAGPUUntilItIsTheRightOne(t *testing.T) {
	for name, mend := range map[string]func(*modelServer, *queueInfo){
		"the model changes": func(s *modelServer, _ *queueInfo) { s.switchTo(digestA) },
		"the pin changes":   func(_ *modelServer, q *queueInfo) { q.set(pinned(digestB)) },
		"any will do":       func(_ *modelServer, q *queueInfo) { q.set(pinned(pipeline.PinAny)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, q := newWorld(t), newModelServer(digestB, 4096), &queueInfo{}
				q.set(pinned(digestA))
				w.addRows(100)
				r := w.start(watched(q), s.lane("T4", 2))
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				want := "held: model tiny is bbbbbbbbbbbb on this server, and the answers of run r are made by aaaaaaaaaaaa: load that one here, or have the run made by this one with " +
					"`producer pin --run r " + digestB + "`"
				if said := r.stateOf(0); said != want || len(s.asked()) != 0 {
					t.Errorf("it says %q after %d requests, want %q", said, len(s.asked()), want)
				}
				mend(s, q)
				time.Sleep(5 * time.Minute)
				if acks := len(w.only("ack")); acks != 100 || r.stateOf(0) != "serving" {
					t.Errorf("%d of 100 batches are done, it says %q", acks, r.stateOf(0))
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAModelThatChangesAtWorkMixesNoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, q := newWorld(t), newModelServer(digestA, 4096), &queueInfo{}
		s.answer = func(ctx context.Context, _ int, _ pipeline.Request) (pipeline.Completion, error) {
			completion, err := after(ctx, time.Second)
			s.mu.Lock()
			defer s.mu.Unlock()
			completion.Text = s.info.Digest
			return completion, err
		}
		w.addRows(400)
		r := w.start(watched(q), s.lane("T4", 4))
		time.Sleep(10*time.Second + time.Millisecond)
		q.set(pinned(digestA)) // by its first answers
		time.Sleep(10 * time.Second)
		s.switchTo(digestB)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if said := r.stateOf(0); !strings.HasPrefix(said, "held: model tiny is bbbbbbbbbbbb") || len(w.only("hand-back")) == 0 {
			t.Errorf("it says %q", said)
		}
		s.switchTo(digestA)
		time.Sleep(5 * time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		for _, e := range w.only("publish") {
			for _, result := range e.sent.Results {
				if result.Text != e.sent.Digest {
					t.Errorf("an answer of %.12s is said to be of %.12s", result.Text, e.sent.Digest)
				}
			}
		}
		if diff := cmp.Diff(map[string]int{digestA: 400}, w.digests()); diff != "" {
			t.Errorf("answers by digest (-want +got):\n%s", diff)
		}
	})
}

// Nothing holds a GPU whose server does not answer a question about its model: what it said last
// counts.
func TestAServerThatDoesNotSayWhatItHasKeepsItsDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), newModelServer(digestA, 4096)
		s.away = errors.New("not loaded any more")
		w.addRows(20)
		r := w.start(watched(&queueInfo{}), s.lane("T4", 2))
		time.Sleep(time.Minute)
		if diff := cmp.Diff(map[string]int{digestA: 20}, w.digests()); diff != "" {
			t.Errorf("answers by digest (-want +got):\n%s", diff)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatDoesNotAnswerAboutItsModelDelaysABatchByTwoQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newModelServer(digestA, 4096)
		s.hang = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		guard := testLane(s.lane("T4", 2)).model
		began := time.Now()
		var askers sync.WaitGroup
		for range 10 {
			askers.Go(func() {
				time.Sleep(time.Millisecond) // so that they come after another
				if known := guard.Look(t.Context()); known.Digest != digestA || time.Since(began) > 2*lookWithin+time.Millisecond {
					t.Errorf("%+v after %s", known, time.Since(began))
				}
			})
		}
		guard.Look(t.Context())
		askers.Wait()
		if s.asks != 2 {
			t.Errorf("%d questions, want 2", s.asks)
		}
	})
}

func TestAnAskerThatIsStoppedDoesNotAnswerForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newModelServer(digestA, 4096)
		s.hang = func(ctx context.Context) error { return outage.Sleep(ctx, time.Second) }
		guard := testLane(s.lane("T4", 2)).model
		s.switchTo(digestB)
		first, stop := context.WithCancel(t.Context())
		var askers sync.WaitGroup
		askers.Go(func() { guard.Look(first) })
		synctest.Wait()
		for range 3 {
			askers.Go(func() {
				if known := guard.Look(t.Context()); known.Digest != digestB {
					t.Errorf("it knows %.12s", known.Digest)
				}
			})
		}
		synctest.Wait()
		stop()
		askers.Wait()
	})
}

func TestTheServerIsAskedTwiceForABatchAndNotForEachGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), newModelServer(digestA, 4096)
		w.stock(10)
		r := w.start(watched(&queueInfo{}), s.lane("T4", 2))
		time.Sleep(time.Minute)
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if s.asks > 2*10+3 {
			t.Errorf("asked %d times about ten batches of eight in a minute", s.asks)
		}
	})
}

func TestSimulatedAnswersAreNotMadeForARealRun(t *testing.T) {
	for name, c := range map[string]struct {
		server, run bool
		says        string
	}{
		"a simulated server":   {true, false, "held: this server is simulated, and run r wants a real model"},
		"a real server":        {false, true, "held: run r is for simulated servers, and this one has real models"},
		"both are simulated":   {true, true, "serving"},
		"neither is simulated": {false, false, "serving"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, q := newWorld(t), newModelServer(digestA, 4096), &queueInfo{info: pipeline.RunInfo{Simulated: c.run}}
				s.info.Simulated = c.server
				w.addRows(3)
				r := w.start(watched(q), s.lane("T4", 1))
				time.Sleep(time.Minute)
				if said := r.stateOf(0); said != c.says || (len(s.asked()) > 0) != (c.says == "serving") {
					t.Errorf("it says %q after %d requests, want %q", said, len(s.asked()), c.says)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheQueueIsAskedSeldomAndSoonWhereAPinIsMissing(t *testing.T) {
	for _, c := range []struct {
		name        string
		info        func(*pipeline.RunInfo)
		rows        int
		least, most int // questions in ten minutes
	}{
		{"it is pinned", pinned(digestA), 10_000, 5, 7},
		{"it has no pin, and nothing to do", func(*pipeline.RunInfo) {}, 0, 5, 7},
		{"it has no pin, and work", func(*pipeline.RunInfo) {}, 10_000, 100, 130},
		{"it is held", pinned(digestB), 0, 35, 45},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, q := newWorld(t), newModelServer(digestA, 4096), &queueInfo{}
				w.queue = make(chan pipeline.Delivery[pipeline.Work], c.rows)
				q.set(c.info)
				for i := range c.rows {
					w.add(i, 1, "p")
				}
				r := w.start(watched(q), s.lane("T4", 4))
				time.Sleep(10 * time.Minute)
				if n := q.asked(); n < c.least || n > c.most {
					t.Errorf("asked %d times in ten minutes, want %d to %d", n, c.least, c.most)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestDifferencesBetweenGPUsAreSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		w, a, b, q := newWorld(t), newModelServer(digestA, 4096), newModelServer(digestA, 4096), &queueInfo{}
		a.info.Template, b.info.Template = "one", "two"
		b.info.Note, b.info.ServerVersion = "Ollama 0.9.1 is older than 0.12", "0.9.1"
		cfg := watched(q)
		cfg.Log = zap.New(core)
		r := w.start(cfg, a.lane("A", 1), b.lane("B", 1))
		time.Sleep(10 * time.Minute)
		if said := r.stateOf(1); said != "serving: Ollama 0.9.1 is older than 0.12" {
			t.Errorf("it says %q", said)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		var said []string
		for _, e := range logs.All() {
			said = append(said, fmt.Sprint(e.Message, " ", e.ContextMap()["gpu"]))
		}
		want := []string{"the template or the parameters of the model differ between GPUs, so their answers may differ, too B", "Ollama 0.9.1 is older than 0.12 B"}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
	})
}

func TestAServerThatAlwaysSaysAnotherVersionFillsNeitherMemoryNorLog(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l := testLane(LaneConfig{Name: "T4", Slots: 1, Backend: &fakeModel{}})
	l.log = zap.New(core)
	for i := range 10 * maxSaid {
		l.sayOnce(fmt.Sprintf("its version %d is none of Ollama's", i%(5*maxSaid)))
	}
	if n := logs.Len(); n != maxSaid || len(l.said) != maxSaid {
		t.Errorf("%d lines, and %d are remembered, want %d", n, len(l.said), maxSaid)
	}
}

func TestAContextThatIsTooSmallIsSaidAtTheStart(t *testing.T) {
	for context, want := range map[int]string{
		0:    "",
		900:  "this GPU's context cannot hold the run's longest prompt: it works on what fits",
		1000: "this GPU's context probably cannot hold the run's longest prompt: it works on what fits",
		3999: "this GPU's context probably cannot hold the run's longest prompt: it works on what fits",
		4000: "",
	} {
		t.Run(fmt.Sprint(context), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.WarnLevel)
				w, s, q := newWorld(t), newModelServer(digestA, context), &queueInfo{info: pipeline.RunInfo{LongestPrompt: 12_000}}
				cfg := watched(q)
				cfg.Log = zap.New(core)
				w.addRows(3)
				r := w.start(cfg, s.lane("T4", 1))
				time.Sleep(10 * time.Minute)
				if err := r.end(); err != nil {
					t.Error(err)
				}
				if len(w.only("ack")) != 3 {
					t.Error("it does not work on what fits")
				}
				if want == "" {
					if logs.Len() != 0 {
						t.Errorf("it says %v", logs.All())
					}
					return
				}
				fields := map[string]any{"gpu": "T4", "context_tokens": int64(context), "prompt_bytes": int64(12_000),
					"surely_needs_tokens": int64(1000), "probably_needs_tokens": int64(4000), "setting": "OLLAMA_CONTEXT_LENGTH=5120 on the server"}
				if logs.Len() != 1 || logs.All()[0].Message != want {
					t.Fatalf("it says %v, want %q", logs.All(), want)
				}
				if diff := cmp.Diff(fields, logs.All()[0].ContextMap()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}
