package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A following is a call of Follow in the background.
type following struct {
	seen []pipeline.Progress
	last pipeline.Progress
	err  error
	done chan struct{}
}

func follow(ctx context.Context, p *Publisher) *following {
	f := &following{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.last, f.err = p.Follow(ctx, theRun, func(look Look) {
			if look.Away == nil {
				f.seen = append(f.seen, look.Progress)
			}
		})
	}()
	return f
}

// ended reports whether Follow has returned after this much more time.
func (f *following) ended(after time.Duration) bool {
	time.Sleep(after)
	synctest.Wait()
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// finish acts as consumers and sink: everything on the queue is generated and stored.
func finish(store *fakeStore, q *fakeQueue) {
	for _, work := range q.take(1 << 20) {
		store.finish(work.Batch)
	}
}

func TestFollowPublishesAndWaitsForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(100)...), newQueue()
		began := time.Now()
		f := follow(t.Context(), publisher(t, Config{Window: 30}, store, q))
		for range 3 {
			if f.ended(5 * time.Second) {
				t.Fatal("it ended early", f.err)
			}
			finish(store, q)
		}
		if f.ended(5 * time.Second) {
			t.Fatal("it ended before the last batches were done", f.err)
		}
		finish(store, q)
		if !f.ended(2*time.Second) || f.err != nil {
			t.Fatal("it did not end", f.err)
		}
		want := pipeline.Progress{Batches: map[pipeline.BatchState]int{pipeline.Done: 100}, Generations: 100, Stored: 100, Since: began}
		if diff := cmp.Diff(want, f.last); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := len(f.seen); n != 21+1 { // once a second
			t.Errorf("%d looks in 21 s", n)
		}
		if diff := cmp.Diff(want, f.seen[len(f.seen)-1]); diff != "" {
			t.Errorf("the last that is watched (-want +got):\n%s", diff)
		}
	})
}

// The consumers ask the queue which digest they have to have, and the sink pins it in the store.
func TestFollowTellsTheConsumersWhichDigestIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(10)...), newQueue()
		f := follow(t.Context(), publisher(t, Config{}, store, q))
		for _, digest := range []string{"", "aaaa", "bbbb"} {
			store.mu.Lock()
			if digest != "" {
				store.run.Pins = map[pipeline.EngineName]string{pipeline.Ollama: digest}
			}
			store.mu.Unlock()
			if f.ended(2 * time.Second) {
				t.Fatal(f.err)
			}
			q.mu.Lock()
			if got := q.pins[pipeline.Ollama]; got != digest {
				t.Errorf("the consumers know %q, the run is pinned to %q", got, digest)
			}
			q.mu.Unlock()
		}
		finish(store, q)
		if !f.ended(2*time.Second) || f.err != nil {
			t.Error(f.err)
		}
	})
}

// A person pauses and resumes the run in the store, and the process that follows it takes that to
// the queue: the one that did it may have been killed in between.
func TestFollowPausesAndResumesTheQueueAsTheStoreSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(10)...), newQueue()
		f := follow(t.Context(), publisher(t, Config{}, store, q))
		for i, do := range []func(){
			func() {},
			func() { store.pause(pipeline.PausedByPerson) },
			func() { _ = store.Resume(t.Context(), "r", "uid", time.Now()) },
			func() { store.pause(pipeline.PausedByFailures) },
			func() { _ = store.Resume(t.Context(), "r", "uid", time.Now()) },
		} {
			do()
			if f.ended(2 * time.Second) {
				t.Fatal(f.err)
			}
			q.mu.Lock()
			if want := i%2 == 1; q.paused != want {
				t.Errorf("step %d: paused %t, want %t", i, q.paused, want)
			}
			q.mu.Unlock()
		}
		finish(store, q)
		if !f.ended(2*time.Second) || f.err != nil {
			t.Error(f.err)
		}
	})
}

func TestFollowGoesOnAfterAnOutage(t *testing.T) {
	for name, change := range map[string]func(store *fakeStore, q *fakeQueue, away func() bool){
		"of the store": func(store *fakeStore, _ *fakeQueue, away func() bool) {
			store.fault = func(string) (before, after error) {
				if away() {
					return errAway, nil
				}
				return nil, nil
			}
		},
		"of the stream": func(_ *fakeStore, q *fakeQueue, away func() bool) {
			q.fault = func(string) error {
				if away() {
					return errAway
				}
				return nil
			}
		},
		"in which the answers were lost": func(_ *fakeStore, q *fakeQueue, away func() bool) {
			q.lost = func(string) error {
				if away() {
					return errAway
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, q := loaded(t, spec(), numbered(100)...), newQueue()
				begin := time.Now()
				change(store, q, func() bool {
					s := time.Since(begin)
					return s < 20*time.Second || s > 30*time.Second && s < 90*time.Second
				})
				f := follow(t.Context(), publisher(t, Config{Window: 30}, store, q))
				for range 36 { // the last try of an outage is up to 45 s after its end
					if f.ended(5 * time.Second) {
						break
					}
					finish(store, q)
				}
				if f.err != nil || f.last.Stored != 100 {
					t.Fatalf("%v, %+v", f.err, f.last)
				}
			})
		})
	}
}

// The stream may have been on a server that lost its disk.
func TestFollowPutsTheRunBackOnAStreamThatLostIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(100)...), newQueue()
		f := follow(t.Context(), publisher(t, Config{Window: 30}, store, q))
		if f.ended(5 * time.Second) {
			t.Fatal("it ended early", f.err)
		}
		q.mu.Lock()
		q.ensured = false
		q.mu.Unlock()
		for range 20 {
			if f.ended(5 * time.Second) {
				break
			}
			finish(store, q)
		}
		if f.err != nil || f.last.Stored != 100 {
			t.Errorf("%v, %+v", f.err, f.last)
		}
	})
}

func TestFollowEndsWhenAPersonHasToAct(t *testing.T) {
	fatal := pipeline.Fail(pipeline.Fatal, "credentials refused")
	for name, c := range map[string]struct {
		change func(*fakeStore, *fakeQueue)
		want   string
	}{
		"the store refuses": {func(store *fakeStore, _ *fakeQueue) {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.fault = func(string) (before, after error) { return fatal, nil }
		}, "credentials refused"},
		"the stream refuses": {func(_ *fakeStore, q *fakeQueue) {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.fault = func(string) error { return fatal }
		}, "credentials refused"},
		"the run is cancelled": {func(store *fakeStore, _ *fakeQueue) {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.run.State = pipeline.RunCancelled
		}, "run r is cancelled"},
		"the run is gone": {func(store *fakeStore, _ *fakeQueue) {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.run, store.batches = nil, nil
		}, "run r was deleted"},
	} {
		for _, when := range []time.Duration{0, 5 * time.Second} {
			t.Run(fmt.Sprintf("%s after %s", name, when), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, q := loaded(t, spec(), numbered(100)...), newQueue()
					if when == 0 {
						c.change(store, q)
					}
					f := follow(t.Context(), publisher(t, Config{Window: 30}, store, q))
					if when > 0 {
						if f.ended(when) {
							t.Fatal("it ended early", f.err)
						}
						c.change(store, q)
					}
					if when > 0 && c.want == fatal.Error() { // it has worked: that is an outage now
						if f.ended(time.Hour) {
							t.Fatal("it ended", f.err)
						}
						store.mu.Lock()
						store.run.State, store.fault = pipeline.RunCancelled, nil
						store.mu.Unlock()
						c.want = "run r is cancelled"
					}
					if <-f.done; f.err == nil || !strings.Contains(f.err.Error(), c.want) {
						t.Errorf("got %v, want %s", f.err, c.want)
					}
				})
			})
		}
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	for name, state := range map[string]func(*fakeStore){
		"while it publishes":      func(*fakeStore) {},
		"while the store is away": func(store *fakeStore) { store.fault = func(string) (before, after error) { return errAway, nil } },
		"while it waits for the end": func(store *fakeStore) {
			store.batches = map[int]pipeline.Batch{0: {Run: "r", Count: 1, State: pipeline.Queued, Round: 1}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, q := loaded(t, spec(), numbered(100)...), newQueue()
				state(store)
				ctx, stop := context.WithCancel(t.Context())
				f := follow(ctx, publisher(t, Config{Window: 30}, store, q))
				if f.ended(4500 * time.Millisecond) {
					t.Fatal("it ended early", f.err)
				}
				stop()
				if !f.ended(0) || !errors.Is(f.err, context.Canceled) {
					t.Errorf("%v", f.err)
				}
			})
		})
	}
}

// A slowStore takes its time to count.
type slowStore struct {
	*fakeStore
	takes func() time.Duration
}

func (s slowStore) Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error) {
	time.Sleep(s.takes())
	return s.fakeStore.Progress(ctx, run, since)
}

func TestOneSlowLookDoesNotDelayTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(10)...), newQueue()
		looks := 0
		slow := slowStore{store, func() time.Duration {
			if looks++; looks == 3 {
				return time.Minute // the store was away in the middle of it
			}
			return 0
		}}
		p, err := NewPublisher(Config{}, slow, q)
		if err != nil {
			t.Fatal(err)
		}
		f := follow(t.Context(), p)
		if f.ended(63 * time.Second) {
			t.Fatal("it ended early", f.err)
		}
		finish(store, q)
		if !f.ended(3*time.Second) || f.err != nil {
			t.Errorf("it has not noticed the end of the run (%v)", f.err)
		}
	})
}

func TestARunThatIsSlowToCountIsLookedAtSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 2 * time.Second
		store, q := loaded(t, spec(), numbered(10)...), newQueue()
		p, err := NewPublisher(Config{}, slowStore{store, func() time.Duration { return takes }}, q)
		if err != nil {
			t.Fatal(err)
		}
		f := follow(t.Context(), p)
		if f.ended(10 * time.Minute) {
			t.Fatal("it ended early", f.err)
		}
		if share := float64(len(f.seen)) * takes.Seconds() / 600; share > 0.12 {
			t.Errorf("the store is kept counting %.0f %% of the time", 100*share)
		}
		finish(store, q)
		if !f.ended(time.Minute) || f.err != nil {
			t.Errorf("it has not noticed the end of the run (%v)", f.err)
		}
	})
}

func TestFollowEndsWhenAnotherRunHasTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(100)...), newQueue()
		f := follow(t.Context(), publisher(t, Config{Window: 30}, store, q))
		if f.ended(5 * time.Second) {
			t.Fatal("it ended early", f.err)
		}
		store.mu.Lock()
		store.run = &pipeline.Run{Name: "r", UID: "another", State: pipeline.RunOpen, CreatedAt: time.Date(2026, 3, 1, 7, 30, 0, 0, time.UTC)}
		store.mu.Unlock()
		if !f.ended(15 * time.Second) {
			t.Fatal("it goes on")
		}
		if want := "run r was deleted; a new run of that name was loaded at 2026-03-01 07:30:00 UTC"; f.err == nil || f.err.Error() != want {
			t.Errorf("got %v, want %s", f.err, want)
		}
	})
}

func TestTheConsumersAreToldOnceThatTheRunIsPublishedAndThatItIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(100)...), newQueue()
		if _, err := toEnd(t, Config{Window: 30}, store, q, newReconciler(nothingLost)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"uid published", "uid complete"}, q.told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
