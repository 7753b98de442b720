package sink

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// Cases of messages of which another store may know more.
const (
	unknownRun  = "a run that is not there"
	unknownLoad = "a run of the same name, deleted since"
)

func TestWhatDoesNotBelongToARunIsRefusedAndTheRestIsStored(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *pipeline.Results)
		want   string
	}{
		{unknownRun, func(_ *world, m *pipeline.Results) { m.Run = "unknown" }, "there is no run unknown"},
		{unknownLoad, func(_ *world, m *pipeline.Results) { m.UID = "older" }, "it belongs to an earlier run r that was deleted"},
		{"a batch that is not there", func(_ *world, m *pipeline.Results) { m.Batch = 1000 }, "run r has no batch 1000"},
		{"a generation of another batch", func(_ *world, m *pipeline.Results) { m.Results[1].Item = 7 }, "generation r/000000007.001 does not belong to batch r/0000000"},
		{"another sample", func(_ *world, m *pipeline.Results) { m.Results[1].Sample = 0 }, "generation r/000000000.000 does not belong to batch r/0000000"},
		{"an index beyond the batch", func(_ *world, m *pipeline.Results) {
			m.Results[1] = pipeline.Result{Index: 4, Item: 2, Sample: 0, Finish: "stop"} // the first of the next
		}, "generation r/000000002.000 does not belong to batch r/0000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				bad := message(0, 0, 1)
				c.change(w, &bad)
				w.send(0, bad)
				w.send(1, message(5, 0, 1, 2, 3))
				r := w.start(Config{})
				r.end(t, time.Minute)
				first := []string{"reject"}
				if c.name == unknownRun || c.name == unknownLoad {
					first = []string{"hand-back", "reject"}
				}
				if diff := cmp.Diff(first, w.of(0)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"ack"}, w.of(1)); diff != "" || len(w.stored) != 4 {
					t.Errorf("%d are stored; the good one (-want +got):\n%s", len(w.stored), diff)
				}
				if got := w.only("reject")[0].reason; got != c.want {
					t.Errorf("the reason is %q, want %q", got, c.want)
				}
				if logged := r.logs.FilterMessageSnippet("refused").All(); len(logged) != 1 || logged[0].ContextMap()["reason"] != c.want {
					t.Errorf("logged: %v", logged)
				}
			})
		})
	}
}

func TestWhatIsSentToARunThatIsBeingDeletedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		run := w.runs["r"]
		run.State = pipeline.RunDeleting
		w.runs["r"] = run
		w.send(0, message(0, 0))
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if rejects := w.only("reject"); len(rejects) != 1 || rejects[0].reason != "run r is being deleted" || len(w.stored) != 0 {
			t.Errorf("%v, %d stored", rejects, len(w.stored))
		}
	})
}

func TestAMessageThatCannotBeReadIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue <- pipeline.Delivery[pipeline.Results]{Err: errors.New("message on x: unexpected end"), Subject: "x", Receipt: &receipt{w: w}}
		w.send(1, message(5, 0))
		r := w.start(Config{})
		r.end(t, 5*time.Second)
		if rejects := w.only("reject"); len(rejects) != 1 || rejects[0].reason != "message on x: unexpected end" || len(w.stored) != 1 {
			t.Errorf("%v, %d stored", rejects, len(w.stored))
		}
	})
}

func TestRefusalsAreLoggedAtALimitedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		go func() {
			for i := range 250 {
				w.send(i, message(2000+i, 0))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		r := w.start(Config{FlushEvery: 100 * time.Millisecond})
		r.end(t, time.Minute)
		if n := len(w.only("reject")); n != 250 {
			t.Errorf("%d of 250 are refused", n)
		}
		told := 0
		lines := r.logs.FilterMessageSnippet("refused").All()
		for _, line := range lines {
			told += int(line.ContextMap()["refused"].(int64))
		}
		if len(lines) != 3 || told < 150 || told > 250 {
			t.Errorf("%d lines in 25 s tell of %d refusals, want one line each 10 s", len(lines), told)
		}
	})
}

func TestABatchIsLookedUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 40 {
			w.send(i, message(i%10, i/10))
		}
		r := w.start(Config{FlushMessages: 20})
		r.end(t, 5*time.Second)
		if w.asked != 10 || len(w.stored) != 40 {
			t.Errorf("the store was asked for %d batches, want 10; %d are stored", w.asked, len(w.stored))
		}
	})
}

// Another run of the same name may have another number of samples, and so other generations in the
// same batch.
func TestARunThatIsLoadedAgainIsNotTakenForTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.send(0, message(3, 0))
		r := w.start(Config{})
		time.Sleep(5 * time.Second)
		w.set(func() {
			w.runs["r"] = pipeline.Run{Name: "r", UID: "v", State: pipeline.RunOpen, Spec: pipeline.Spec{Samples: 1}}
			w.batches[pipeline.BatchID("r", 3)] = pipeline.Batch{Run: "r", Index: 3, First: 6, Count: 2, Round: 1}
		})
		late := message(3, 1)
		w.send(1, late)
		fresh := pipeline.Results{Run: "r", UID: "v", Batch: 3, Round: 1, Results: []pipeline.Result{{Index: 1, Item: 7, Finish: "stop"}}}
		w.send(2, fresh)
		r.end(t, time.Minute)
		if got := slices.Concat(w.of(0), w.of(1), w.of(2)); !slices.Equal(got, []string{"ack", "hand-back", "reject", "ack"}) {
			t.Errorf("%v", got)
		}
	})
}

func TestWhatACheckerForgetsItLooksUpAgain(t *testing.T) {
	w := newWorld(t)
	c := newChecker(w)
	deliveries := func(batches ...int) (all []pipeline.Delivery[pipeline.Results]) {
		for _, b := range batches {
			all = append(all, pipeline.Delivery[pipeline.Results]{Body: message(b, 0)})
		}
		return all
	}
	if found, err := c.split(t.Context(), deliveries(1)); err != nil || len(found.bad) > 0 {
		t.Fatal(found.bad, err)
	}
	for i := range maxSpans { // many batches of other runs
		c.spans[spanKey{"other", i}] = pipeline.Batch{Count: 1}
	}
	found, err := c.split(t.Context(), deliveries(1, 2))
	if err != nil || len(found.good) != 2 || len(found.bad) != 0 {
		t.Errorf("%d are good, %d are refused: %v, %v", len(found.good), len(found.bad), found.bad, err)
	}
	if len(c.spans) > maxSpans {
		t.Errorf("%d batches are remembered", len(c.spans))
	}
}

// A checker must not mistake a store that is away for a run that is not there.
func TestAnErrorOfTheStoreRefusesNothing(t *testing.T) {
	for _, call := range []string{"Run", "BatchesAt"} {
		w := newWorld(t)
		w.storeFault = func(name string) error {
			if name == call {
				return errAway
			}
			return nil
		}
		found, err := newChecker(w).split(t.Context(), []pipeline.Delivery[pipeline.Results]{{Body: message(1, 0)}})
		if !errors.Is(err, errAway) || len(found.good)+len(found.bad) != 0 {
			t.Errorf("%s: %d good, %d refused, %v", call, len(found.good), len(found.bad), err)
		}
	}
}
