package producer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gleaner/internal/pipeline"
)

// Whatever fails, and however many publish, in the end every batch was on the queue and every
// generation is stored.
func TestEveryGenerationGetsOnTheQueueWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		rows := rapid.IntRange(1, 60).Draw(rt, "rows")
		publishers := rapid.IntRange(1, 3).Draw(rt, "publishers")
		faults := rapid.IntRange(0, 30).Draw(rt, "faults in a hundred calls")
		window, limit := rapid.IntRange(1, 200).Draw(rt, "window"), rapid.IntRange(1, 200).Draw(rt, "limit")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 2))
			var throwing sync.Mutex
			fault := func(string) error {
				throwing.Lock()
				defer throwing.Unlock()
				if dice.IntN(100) < faults {
					return errAway
				}
				return nil
			}
			store, q := loaded(t, spec(), numbered(rows)...), newQueue()
			store.fault = func(call string) (before, after error) { return fault(call), fault(call) }
			q.limit, q.fault, q.lost = limit, fault, fault
			publishTogether(t, publishers, Config{Window: window, Poll: 100 * time.Millisecond}, store, q, finish)
			problem = store.unfinished()
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// unfinished says what is left of a run that should be done.
func (s *fakeStore) unfinished() string {
	for i, b := range s.batches {
		if b.State != pipeline.Done {
			return fmt.Sprintf("batch %d is %s", i, b.State)
		}
	}
	return ""
}

// publishTogether lets several publishers put a run on the queue, each again until it succeeds,
// while work does what consumers and sink do.
func publishTogether(t *testing.T, publishers int, cfg Config, store *fakeStore, q *fakeQueue, work func(*fakeStore, *fakeQueue)) {
	var all sync.WaitGroup
	for range publishers {
		p := publisher(t, cfg, store, q)
		all.Go(func() {
			for p.Publish(t.Context(), theRun) != nil {
				time.Sleep(time.Second)
			}
		})
	}
	over := make(chan struct{})
	go func() { defer close(over); all.Wait() }()
	for working := true; working; {
		select {
		case <-over:
			working = false
		case <-time.After(300 * time.Millisecond):
		}
		work(store, q)
	}
}
