package producer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/pipeline"
)

func TestALimitOfFailuresIsANumberAPercentageOrOff(t *testing.T) {
	for text, want := range map[string]FailureLimit{"": {}, "off": {Off: true}, "20": {Count: 20}, "30%": {Percent: 30}, "100 %": {Percent: 100}} {
		if got, err := ParseFailureLimit(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "101%", "0%", "many", "%"} {
		if got, err := ParseFailureLimit(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestALimitCountsWhatEndedSinceTheRunIsFollowed(t *testing.T) {
	type look struct{ stored, failed int }
	for name, c := range map[string]struct {
		limit string
		looks []look
		want  bool
	}{
		"the first 20 fail":               {"", []look{{0, 0}, {0, 19}, {0, 20}}, true},
		"the first 19 fail":               {"", []look{{0, 0}, {0, 19}, {1, 30}}, false},
		"half of the first 200":           {"", []look{{0, 0}, {50, 49}, {100, 100}}, true},
		"less than half of them":          {"", []look{{0, 0}, {102, 98}, {102, 900}}, false},
		"of an earlier session":           {"", []look{{0, 500}, {1, 500}, {100, 510}}, false},
		"the same ones once more":         {"", []look{{0, 30}, {0, 0}, {0, 20}}, true},
		"a redrive that works":            {"", []look{{0, 30}, {0, 0}, {30, 0}}, false},
		"all at its end":                  {"", []look{{0, 0}, {0, 1000}}, false},
		"a number":                        {"3", []look{{0, 0}, {900, 2}, {900, 3}}, true},
		"below a number":                  {"3", []look{{0, 7}, {900, 9}}, false},
		"a percentage":                    {"10%", []look{{0, 0}, {810, 90}}, true},
		"below a percentage":              {"10%", []look{{0, 0}, {10, 1}, {811, 89}}, false},
		"a percentage of next to nothing": {"10%", []look{{0, 0}, {0, 19}}, false},
		"off":                             {"off", []look{{0, 0}, {0, 999}}, false},
	} {
		limit, err := ParseFailureLimit(c.limit)
		if err != nil {
			t.Fatal(err)
		}
		count, got := outcomeCount{limit: limit}, false
		for _, l := range c.looks {
			_, _, tooMany := count.see(pipeline.Progress{Generations: 1000, Stored: l.stored, Failed: l.failed}, false)
			got = got || tooMany
		}
		if got != c.want {
			t.Errorf("%s: paused is %t", name, got)
		}
	}
}

func TestARunOfWhichTooMuchFailsIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(100)...), newQueue()
		paused := ""
		p := publisher(t, Config{Window: 30, MaxFailures: FailureLimit{Count: 5}, PauseRun: func(_ context.Context, run pipeline.Run, _ pipeline.PauseCause, reason string) error {
			paused += run.Name + ": " + reason
			return nil
		}}, store, q)
		ended := make(chan error, 1)
		go func() {
			_, err := p.FollowToEnd(t.Context(), theRun, newReconciler(nothingLost), nil)
			ended <- err
		}()
		time.Sleep(5 * time.Second)
		for i, work := range q.take(30) {
			if i < 25 {
				store.finish(work.Batch)
			} else {
				store.bury(work.Batch)
			}
		}
		err := <-ended
		var tooMany *TooManyFailures
		if !errors.As(err, &tooMany) || paused != "r: 5 of 30 generations failed" || err.Error() != "run r is paused: 5 of 30 generations failed" {
			t.Errorf("it ended with %v, paused with %q", err, paused)
		}
		if dropped, done := store.count(pipeline.Dropped), store.count(pipeline.Done); dropped > 0 || done != 25 {
			t.Errorf("%d batches are dropped and %d done", dropped, done)
		}
	})
}

// bury marks a batch as dead.
func (s *fakeStore) bury(batch int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[batch]
	b.State = pipeline.Dead
	s.batches[batch] = b
}
