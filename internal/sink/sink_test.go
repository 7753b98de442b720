package sink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

var errAway = pipeline.Fail(pipeline.Retryable, "no server")

func TestResultsAreWrittenInBulkAndThenAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 10 {
			w.send(i, message(i, 0, 1, 2, 3))
		}
		r := w.start(Config{FlushMessages: 6})
		r.end(t, 10*time.Second)
		want := []event{{what: "write", msg: 6}, {what: "write", msg: 4, at: time.Second}} // full, and when the wait was over
		if diff := cmp.Diff(want, w.only("write"), cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for i := range 10 {
			if diff := cmp.Diff([]string{"ack"}, w.of(i)); diff != "" {
				t.Errorf("message %d (-want +got):\n%s", i, diff)
			}
		}
		if got := r.Written(); got != (pipeline.Written{New: 40}) || len(w.stored) != 40 || w.stored["r/000000005.001"] != "answer 11" {
			t.Errorf("%+v, %d are stored", got, len(w.stored))
		}
	})
}

// Each pull is paid for, so while nothing comes there are few; and what comes then is not kept
// waiting.
func TestAQuietStreamIsAskedSeldomAndItsFirstResultIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(Config{})
		time.Sleep(10*time.Minute + time.Second/2)
		synctest.Wait()
		if w.pulls != 6 { // one second, and then two minutes each
			t.Errorf("in ten minutes without results the stream was asked %d times", w.pulls)
		}
		sent := time.Since(w.begin)
		for i := range 3 {
			w.send(i, message(i, 0, 1, 2, 3))
		}
		r.end(t, 10*time.Second)
		want := []event{{what: "write", msg: 1, at: sent}, {what: "write", msg: 2, at: sent + time.Second}}
		if diff := cmp.Diff(want, w.only("write"), cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAnAnswerThatIsThereIsCountedAsDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.send(0, message(0, 0, 1))
		again := message(0, 1, 2)
		again.Results[0].Text = "another answer"
		w.send(1, again)
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if got := r.Written(); got != (pipeline.Written{New: 3, Duplicate: 1}) || w.stored["r/000000000.001"] != "answer 1" {
			t.Errorf("%+v, stored %v", got, w.stored)
		}
		if diff := cmp.Diff([]string{"ack"}, w.of(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestNothingIsLostWhileTheStoreIsAway(t *testing.T) {
	for _, call := range []string{"Run", "BatchesAt", "WriteResults"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.storeFault = func(name string) error {
					if name == call && time.Since(w.begin) < 10*time.Minute {
						return errAway
					}
					return nil
				}
				for i := range 9 {
					w.send(i, message(i, 0))
				}
				r := w.start(Config{FlushMessages: 3, ExtendEvery: 20 * time.Second})
				time.Sleep(9 * time.Minute)
				synctest.Wait()
				if n := len(w.only("ack")); n != 0 || len(w.queue) != 6 {
					t.Errorf("%d are acknowledged, %d are left on the stream; want the first three to be held", n, len(w.queue))
				}
				for i, e := range w.only("extend") {
					if want := time.Duration(i/3+1) * 20 * time.Second; e.at != want || e.msg != i%3 {
						t.Fatalf("extension %d is of message %d after %s, want %s", i, e.msg, e.at, want)
					}
				}
				if n := len(w.only("extend")); n != 3*26 && n != 3*27 {
					t.Errorf("%d extensions in 9 minutes, want one of each message each 20 s", n)
				}
				r.end(t, 2*time.Minute)
				if n := len(w.only("ack")); n != 9 || len(w.stored) != 9 {
					t.Errorf("afterwards %d are acknowledged and %d stored", n, len(w.stored))
				}
				for _, e := range w.only("extend") {
					if e.at > 10*time.Minute+11*time.Second {
						t.Errorf("extended after %s", e.at)
					}
				}
				warned := r.logs.FilterMessageSnippet("nothing is lost").Len()
				if back := r.logs.FilterMessageSnippet("works again").Len(); warned != 1 || back != 1 {
					t.Errorf("it warned %d times in ten minutes and said %d times that it works again", warned, back)
				}
			})
		})
	}
}

func TestAStopWhileTheStoreIsAwayLeavesTheMessagesOnTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.storeFault = func(string) error { return errAway }
		for i := range 9 {
			w.send(i, message(i, 0))
		}
		r := w.start(Config{FlushMessages: 3})
		if took := r.end(t, 5*time.Minute); took != 0 {
			t.Errorf("it took %s to stop", took)
		}
		if n := len(w.only("ack")) + len(w.only("reject")); n != 0 || len(w.stored) != 0 {
			t.Errorf("%d messages are settled, %d results stored", n, len(w.stored))
		}
	})
}

func TestAStreamThatIsAwayIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		asked := 0
		w.streamFault = func() error {
			if asked++; asked <= 30 {
				return errors.New("no responders")
			}
			return nil
		}
		w.send(0, message(0, 0))
		r := w.start(Config{})
		r.end(t, 29*time.Second)
		if asked != 30 || len(w.stored) != 0 {
			t.Errorf("asked %d times in 29 s, %d stored", asked, len(w.stored))
		}
		r = w.start(Config{})
		r.end(t, 5*time.Second)
		if len(w.stored) != 1 {
			t.Errorf("%d stored", len(w.stored))
		}
	})
}

// failing returns what fails in this many of a hundred calls, by a throw of the dice. It may be
// called by many at once; the caller throws the same dice only before them.
func failing(dice *rand.Rand, percent int) func() error {
	var throwing sync.Mutex
	return func() error {
		throwing.Lock()
		defer throwing.Unlock()
		if dice.IntN(100) < percent {
			return errAway
		}
		return nil
	}
}

// A lost ack brings a message again; two sinks may share a store; the store may lose its answer.
func TestNothingIsAcknowledgedThatIsNotStoredWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		messages := rapid.IntRange(1, 200).Draw(rt, "messages")
		sinks := rapid.IntRange(1, 2).Draw(rt, "sinks")
		faults := rapid.IntRange(0, 50).Draw(rt, "faults in a hundred calls")
		flush := rapid.IntRange(1, 50).Draw(rt, "messages of a write")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 3))
			fault := failing(dice, faults)
			w := newWorld(t)
			w.storeFault = func(string) error { return fault() }
			w.streamFault = fault
			for i := range messages {
				w.send(i, message(dice.IntN(100), dice.IntN(4)))
			}
			var running []*runner
			for range sinks {
				running = append(running, w.start(Config{FlushMessages: flush}))
			}
			for left := 600; len(w.only("ack")) < messages && left > 0; left-- {
				time.Sleep(10 * time.Second)
			}
			total := 0
			for _, r := range running {
				r.end(t, 0)
				total += r.Written().New
			}
			if n := len(w.only("ack")); n != messages || total != len(w.stored) {
				problem = fmt.Sprintf("%d of %d messages are acknowledged; %d results stored, %d counted", n, messages, len(w.stored), total)
			}
		})
		if problem != "" || t.Failed() {
			rt.Fatal(problem)
		}
	})
}

func TestConsumersAreKeptInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		w := newWorld(t)
		w.consumers = []pipeline.Presence{{ID: "c1", Run: "r", Host: "h", GPUs: []pipeline.GPUStatus{{Name: "T4 0", Slots: 8, Busy: 7, TokensPerSecond: 99.5}, {Name: "T4 1", Slots: 8}}}}
		r := w.start(Config{Metrics: NewMetrics(registry)})
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff(w.consumers, w.kept); diff != "" {
			t.Errorf("(-present +kept):\n%s", diff)
		}
		want := map[string]float64{
			"gleaner_consumers": 1, "gleaner_gpu_slots c1 T4 0 h r": 8, "gleaner_gpu_busy_slots c1 T4 0 h r": 7, "gleaner_gpu_tokens_per_second c1 T4 0 h r": 99.5,
			"gleaner_gpu_slots c1 T4 1 h r": 8, "gleaner_gpu_busy_slots c1 T4 1 h r": 0, "gleaner_gpu_tokens_per_second c1 T4 1 h r": 0,
		}
		if diff := cmp.Diff(want, gathered(t, registry, "gleaner_consumers", "gleaner_gpu")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		w.set(func() { w.consumers = nil })
		time.Sleep(PresenceEvery)
		synctest.Wait()
		if diff := cmp.Diff(map[string]float64{"gleaner_consumers": 0}, gathered(t, registry, "gleaner_consumers", "gleaner_gpu")); diff != "" {
			t.Errorf("who is gone is still shown (-want +got):\n%s", diff)
		}
		if len(w.kept) != 1 {
			t.Error("who is gone is forgotten")
		}
		r.end(t, 0)
	})
}

func TestTheSinkCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		w := newWorld(t)
		w.storeFault = func(call string) error {
			if call == "WriteResults" && time.Since(w.begin) < 2*time.Second {
				return errAway
			}
			return nil
		}
		w.send(0, message(0, 0, 1, 2))
		w.send(1, message(0, 2, 3))
		w.send(2, message(1000, 0))
		r := w.start(Config{Metrics: NewMetrics(registry)})
		r.end(t, time.Minute)
		got := gathered(t, registry, "gleaner_results", "gleaner_output", "gleaner_flush", "gleaner_store")
		if got["gleaner_store_failures_total"] < 1 || got["gleaner_store_failures_total"] > 6 {
			t.Errorf("%v failures of the store", got["gleaner_store_failures_total"])
		}
		delete(got, "gleaner_store_failures_total")
		want := map[string]float64{
			"gleaner_results_stored_total": 4, "gleaner_results_duplicate_total": 1, "gleaner_results_rejected_total": 1, "gleaner_results_other_digest_total": 0, "gleaner_results_without_token_total": 0,
			"gleaner_output_tokens_total": 50, "gleaner_flush_seconds": 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// gathered returns the metrics whose names begin so, with the values of their labels; of a
// histogram the count.
func gathered(t *testing.T, registry *prometheus.Registry, prefixes ...string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			for _, prefix := range prefixes {
				if strings.HasPrefix(name, prefix) {
					got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return got
}

func TestASinkIsCheckedWhenItIsMade(t *testing.T) {
	w := newWorld(t)
	for name, cfg := range map[string]Config{"flush messages -1": {FlushMessages: -1}, "flush every -1s": {FlushEvery: -time.Second}, "extend every -1s": {ExtendEvery: -time.Second}} {
		if _, err := New(cfg, w, w); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{}, nil, w); err == nil {
		t.Error("a sink without a stream")
	}
}
