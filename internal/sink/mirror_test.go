package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// deadLetter makes a dead letter for some generations of a batch, in its first round.
func deadLetter(batch int, indexes ...int) pipeline.DeadLetter {
	d := pipeline.DeadLetter{Run: "r", UID: "u", Batch: batch, Round: 1, Class: pipeline.BadItem, Message: "too long", Consumer: "c"}
	for _, i := range indexes {
		n := 4*batch + i
		d.Failures = append(d.Failures, pipeline.GenerationFailure{
			Generation: pipeline.Generation{Index: i, Item: n / samples, Sample: n % samples, Messages: pipeline.User("?")}, Class: pipeline.BadItem, Message: "too long", Attempts: 1,
		})
	}
	return d
}

// bury puts a dead letter on its stream.
func (w *world) bury(number int, d pipeline.DeadLetter) {
	w.buryAgain(number, d, 1)
}

// buryAgain delivers a dead letter for the nth time.
func (w *world) buryAgain(number int, d pipeline.DeadLetter, nth int) {
	w.dead <- letter{
		Body:    pipeline.StoredDeadLetter{DeadLetter: d, Sequence: uint64(number + 1)},
		Subject: fmt.Sprintf("gleaner.dead.%s.%d", d.Run, d.Batch), Deliveries: nth,
		Receipt: &letterReceipt{receipt{w: w, number: number, again: func() { w.buryAgain(number, d, nth+1) }}, d},
	}
}

// A letterReceipt fails the test if a dead letter is acknowledged that the store should have and
// does not have.
type letterReceipt struct {
	receipt
	letter pipeline.DeadLetter
}

func (r *letterReceipt) Ack(ctx context.Context) error {
	r.w.set(func() {
		r.note("ack", "")
		b, ok := r.w.batches[r.letter.ID()]
		if !ok || b.Round != r.letter.Round || b.State == pipeline.Done || r.letter.UID != "u" {
			return
		}
		for _, f := range r.letter.Failures {
			if f.Index >= b.Count || f.Item*samples+f.Sample != b.First+f.Index {
				return
			}
		}
		for _, i := range r.letter.Failed() {
			if !slices.Contains(b.Failed, i) {
				r.w.t.Errorf("dead letter %d is acknowledged and the store was not told of generation %d", r.number, i)
			}
		}
	})
	return ctx.Err()
}

func (w *world) batch(index int) pipeline.Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.batches[pipeline.BatchID("r", index)]
}

func TestADeadLetterIsToldToTheStoreAndThenAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.send(100, message(0, 0, 1, 3))
		r := w.start(Config{})
		time.Sleep(2 * time.Second)
		w.bury(0, deadLetter(0, 2))
		w.bury(1, deadLetter(1, 0, 1, 2, 3))
		w.bury(2, deadLetter(2, 3, 1))
		r.end(t, time.Second)
		for i, want := range []pipeline.Batch{
			{Run: "r", Index: 0, First: 0, Count: 4, State: pipeline.Dead, Round: 1, Done: []int{0, 1, 3}, Failed: []int{2}, Error: "too long"},
			{Run: "r", Index: 1, First: 4, Count: 4, State: pipeline.Dead, Round: 1, Failed: []int{0, 1, 2, 3}, Error: "too long"},
			{Run: "r", Index: 2, First: 8, Count: 4, State: pipeline.Queued, Round: 1, Failed: []int{1, 3}, Error: "too long"},
		} {
			if diff := cmp.Diff(want, w.batch(i)); diff != "" {
				t.Errorf("batch %d (-want +got):\n%s", i, diff)
			}
			if diff := cmp.Diff([]string{"ack"}, w.of(i)); diff != "" {
				t.Errorf("dead letter %d (-want +got):\n%s", i, diff)
			}
		}
		if n := r.logs.FilterMessageSnippet("ignored").Len(); n != 0 {
			t.Errorf("%d are logged as ignored", n)
		}
	})
}

func TestADeadLetterIsMirroredAtOnceAlsoWhenNothingElseComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(Config{})
		time.Sleep(time.Minute + 3*time.Second)
		w.bury(0, deadLetter(0, 0))
		r.end(t, time.Millisecond)
		if acks := w.only("ack"); len(acks) != 1 || acks[0].at != time.Minute+3*time.Second {
			t.Errorf("%+v", acks)
		}
	})
}

func TestDeadLettersWithoutASayAreIgnoredAndTheRestIsMirrored(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *pipeline.DeadLetter)
		kind   string
		want   string
	}{
		{unknownRun, func(_ *world, d *pipeline.DeadLetter) { d.Run = "unknown" }, "foreign", "there is no run unknown"},
		{unknownLoad, func(_ *world, d *pipeline.DeadLetter) { d.UID = "older" }, "foreign", "it belongs to an earlier run r that was deleted"},
		{"a batch that is not there", func(_ *world, d *pipeline.DeadLetter) { d.Batch = 1000 }, "foreign", "run r has no batch 1000"},
		{"a generation of another batch", func(_ *world, d *pipeline.DeadLetter) { d.Failures[1].Item = 7 }, "foreign", "generation r/000000007.001 does not belong to batch r/0000000"},
		{"an index beyond the batch", func(_ *world, d *pipeline.DeadLetter) {
			d.Failures[1].Generation = pipeline.Generation{Index: 4, Item: 2}
		}, "foreign", "generation r/000000002.000 does not belong to batch r/0000000"},
		{"a run that is being deleted", func(w *world, d *pipeline.DeadLetter) {
			w.runs["s"] = pipeline.Run{Name: "s", UID: "u", State: pipeline.RunDeleting}
			d.Run = "s"
		}, "foreign", "run s is being deleted"},
		{"an older round", func(w *world, _ *pipeline.DeadLetter) {
			w.batches["r/0000000"] = pipeline.Batch{Run: "r", Count: 4, State: pipeline.Queued, Round: 2}
		}, "stale", "its batch is in another round"},
		{"a round that was never", func(_ *world, d *pipeline.DeadLetter) { d.Round = 9 }, "foreign", "batch r/0000000 is in round 1, and it is of round 9"},
		{"a batch that is done", func(w *world, _ *pipeline.DeadLetter) {
			w.batches["r/0000000"] = pipeline.Batch{Run: "r", Count: 4, State: pipeline.Done, Round: 1, Done: []int{0, 1, 2, 3}}
		}, "stale", "its batch is done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				w := newWorld(t)
				bad := deadLetter(0, 0, 1)
				c.change(w, &bad)
				before := w.batch(0)
				w.bury(0, bad)
				w.bury(1, deadLetter(5, 0, 1, 2, 3))
				r := w.start(Config{Metrics: NewMetrics(registry)})
				r.end(t, time.Minute)
				first := []string{"ack"}
				if c.name == unknownRun || c.name == unknownLoad {
					first = []string{"hand-back", "ack"} // another store may know it
				}
				if diff := cmp.Diff([][]string{first, {"ack"}}, [][]string{w.of(0), w.of(1)}); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"r/0000005.1"}, w.failed); diff != "" || w.batch(5).State != pipeline.Dead {
					t.Errorf("the store was told (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(before, w.batch(0)); diff != "" {
					t.Errorf("the batch changed:\n%s", diff)
				}
				logged := r.logs.FilterMessageSnippet("ignored").All()
				if len(logged) != 1 || logged[0].ContextMap()["reason"] != c.want || logged[0].ContextMap()["kind"] != c.kind || logged[0].ContextMap()["sequence"] != uint64(1) {
					t.Errorf("logged: %v", logged)
				}
				want := map[string]float64{"gleaner_dead_letters_total bad-item": 1, "gleaner_dead_letters_ignored_total " + c.kind: 1}
				if diff := cmp.Diff(want, gathered(t, registry, "gleaner_dead")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestADeadLetterThatCannotBeReadIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dead <- letter{Err: errors.New("message on x: unexpected end"), Subject: "x", Receipt: &letterReceipt{receipt: receipt{w: w}}}
		w.bury(1, deadLetter(5, 0))
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if diff := cmp.Diff([][]string{{"ack"}, {"ack"}}, [][]string{w.of(0), w.of(1)}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if logged := r.logs.FilterMessageSnippet("ignored").All(); len(logged) != 1 || logged[0].ContextMap()["subject"] != "x" {
			t.Errorf("logged: %v", logged)
		}
	})
}

func TestIgnoredDeadLettersAreLoggedAtALimitedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		go func() {
			for i := range 250 {
				w.bury(i, deadLetter(2000+i, 0))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		r := w.start(Config{})
		r.end(t, time.Minute)
		if n := len(w.only("ack")); n != 250 {
			t.Errorf("%d of 250 are acknowledged", n)
		}
		lines := r.logs.FilterMessageSnippet("ignored").All()
		told := 0
		for _, line := range lines {
			told += int(line.ContextMap()["ignored"].(int64))
		}
		if len(lines) != 3 || told < 150 || told > 250 {
			t.Errorf("%d lines in 25 s tell of %d, want one line each 10 s", len(lines), told)
		}
	})
}

func TestDeadLettersWaitWhileTheStoreIsAway(t *testing.T) {
	for _, call := range []string{"Run", "BatchesAt", "Fail"} {
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
					w.bury(i, deadLetter(i, 0, 1, 2, 3))
				}
				r := w.start(Config{ExtendEvery: 20 * time.Second})
				time.Sleep(9 * time.Minute)
				synctest.Wait()
				if n := len(w.only("ack")); n != 0 {
					t.Errorf("%d are acknowledged", n)
				}
				if n := len(w.only("extend")); n != 9*26 && n != 9*27 {
					t.Errorf("%d extensions in 9 minutes, want one of each dead letter each 20 s", n)
				}
				r.end(t, 2*time.Minute)
				if n := len(w.only("ack")); n != 9 || w.batch(8).State != pipeline.Dead {
					t.Errorf("afterwards %d are acknowledged, the last batch is %s", n, w.batch(8).State)
				}
				if warned, back := r.logs.FilterMessageSnippet("nothing is lost").Len(), r.logs.FilterMessageSnippet("works again").Len(); warned != 1 || back != 1 {
					t.Errorf("it warned %d times in ten minutes and said %d times that it works again", warned, back)
				}
			})
		})
	}
}

func TestAStopWhileTheStoreIsAwayLeavesTheDeadLettersUnmirrored(t *testing.T) {
	for _, call := range []string{"Run", "BatchesAt", "Fail"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.storeFault = func(name string) error {
				if name == call {
					return errAway
				}
				return nil
			}
			w.bury(0, deadLetter(0, 0))
			r := w.start(Config{})
			if took := r.end(t, 5*time.Minute); took != 0 || len(w.of(0)) != 0 {
				t.Errorf("%s: it took %s to stop; %v", call, took, w.of(0))
			}
		})
	}
}

// Results and dead letters do not wait for each other's outages.
func TestResultsAreWrittenWhileTheDeadLettersCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.deadFault = func() error { return errors.New("no responders") }
		w.send(0, message(0, 0))
		r := w.start(Config{})
		r.end(t, 10*time.Second)
		if warned := r.logs.FilterMessageSnippet("cannot read dead letters").Len(); len(w.stored) != 1 || warned != 1 {
			t.Errorf("%d stored, warned %d times in 10 s", len(w.stored), warned)
		}
	})
}

func TestAnyOrderOfResultsAndDeadLettersSettlesTheBatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		faults := rapid.IntRange(0, 50).Draw(rt, "faults in a hundred calls")
		sinks := rapid.IntRange(1, 2).Draw(rt, "sinks")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 5))
			fault := failing(dice, faults)
			w := newWorld(t)
			w.storeFault = func(string) error { return fault() }
			w.deadFault = fault
			want, sent := map[int]pipeline.BatchState{}, 0
			for _, b := range dice.Perm(30) {
				split := dice.IntN(5) // the first are answered
				want[b] = pipeline.Dead
				if split == 4 {
					want[b] = pipeline.Done
				}
				if split > 0 {
					w.send(sent, message(b, []int{0, 1, 2, 3}[:split]...))
					sent++
				}
				for range 1 + dice.IntN(2) { // some come twice
					if split < 4 {
						w.bury(sent, deadLetter(b, []int{0, 1, 2, 3}[split:]...))
						sent++
					}
				}
			}
			var running []*runner
			for range sinks {
				running = append(running, w.start(Config{}))
			}
			for left := 600; len(w.only("ack")) < sent && left > 0; left-- {
				time.Sleep(10 * time.Second)
			}
			for _, r := range running {
				r.end(t, 0)
			}
			got := map[int]pipeline.BatchState{}
			for b := range want {
				got[b] = w.batch(b).State
			}
			if diff := cmp.Diff(want, got); diff != "" || len(w.only("ack")) != sent {
				problem = fmt.Sprintf("%d of %d are acknowledged; states (-want +got):\n%s", len(w.only("ack")), sent, diff)
			}
		})
		if problem != "" || t.Failed() {
			rt.Fatal(problem)
		}
	})
}

func TestTheStoreGetsAShortTextThatAnyDatabaseTakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"as it is", "no room\n\tat all: größer", "no room\n\tat all: größer"},
		{"control characters", "a\x00b\x1b[31mc\x7f", "a b [31mc "},
		{"long", strings.Repeat("x", 5000), strings.Repeat("x", 1024)},
		{"cut in a character", strings.Repeat("ü", 5000), strings.Repeat("ü", 512)},
		{"cut in a character of three bytes", strings.Repeat("…", 5000), strings.Repeat("…", 341)},
	} {
		if got := brief(c.text); got != c.want || !utf8.ValidString(got) {
			t.Errorf("%s: %d bytes: %.40q", c.name, len(got), got)
		}
	}
}

func TestAnUnknownClassIsNoLabelOfItsOwn(t *testing.T) {
	if got := classLabel("x-1234"); got != "unknown" {
		t.Error(got)
	}
	if got := classLabel(pipeline.Poison); got != "poison" {
		t.Error(got)
	}
}
