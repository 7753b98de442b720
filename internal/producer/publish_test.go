package producer

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
	"github.com/prometheus/client_golang/prometheus"

	"gleaner/internal/pipeline"
)

func publisher(t testing.TB, cfg Config, store *fakeStore, q *fakeQueue) *Publisher {
	t.Helper()
	p, err := NewPublisher(cfg, store, q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// delivered checks that these are the messages of all batches of a run, each as it has to be.
func delivered(t *testing.T, store *fakeStore, works []pipeline.Work) {
	t.Helper()
	seen := map[int]bool{}
	for _, work := range works {
		b := store.batches[work.Batch]
		want := pipeline.Work{
			Run: "r", UID: store.run.UID, Batch: b.Index, Round: b.Round, Token: store.run.Key.Token(store.run.UID, b.Index, b.Round), Model: store.run.Spec.Model, Shared: store.shared(t), Options: store.run.Spec.Options,
			Generations: store.rendered(t, b),
		}
		if diff := cmp.Diff(want, work); diff != "" {
			t.Fatalf("batch %d (-want +got):\n%s", work.Batch, diff)
		}
		seen[work.Batch] = true
	}
	if len(seen) != len(store.batches) {
		t.Errorf("%d of %d batches were published", len(seen), len(store.batches))
	}
}

func TestEveryPlannedBatchIsPublishedOnce(t *testing.T) {
	for name, change := range map[string]func(*pipeline.Spec){
		"one sample":     func(*pipeline.Spec) {},
		"three samples":  func(s *pipeline.Spec) { s.Samples = 3 },
		"a template":     func(s *pipeline.Spec) { s.Field, s.Prompt = "", "Q{{.n}}: {{.question}}" },
		"all the others": func(s *pipeline.Spec) { s.System, s.Options.Stop, s.Seed = "be <brief>", []string{"\n"}, -5 },
	} {
		t.Run(name, func(t *testing.T) {
			s := spec()
			change(&s)
			store, q := loaded(t, s, numbered(600)...), newQueue()
			p := publisher(t, Config{Window: 1 << 20}, store, q)
			if err := p.Publish(t.Context(), theRun); err != nil {
				t.Fatal(err)
			}
			delivered(t, store, q.waiting)
			for i, n := range q.published {
				if n != 1 {
					t.Errorf("batch %d was published %d times", i, n)
				}
			}
			if n := store.count(pipeline.Queued); n != len(store.batches) || p.Published() != n {
				t.Errorf("%d of %d batches are queued, %d counted", n, len(store.batches), p.Published())
			}
			if err := p.Publish(t.Context(), theRun); err != nil || p.Published() != len(store.batches) {
				t.Errorf("again: %v, %d counted", err, p.Published())
			}
		})
	}
}

func TestABatchIsMarkedAfterItWasPublished(t *testing.T) {
	store, q := loaded(t, spec(), numbered(300)...), newQueue()
	store.fault = func(call string) (before, after error) {
		if call == "MarkQueued" {
			q.mu.Lock()
			defer q.mu.Unlock()
			if len(q.waiting)%PublishChunk != 0 {
				return fmt.Errorf("marked with %d batches on the queue", len(q.waiting)), nil
			}
		}
		return nil, nil
	}
	q.fault = func(call string) error {
		if n := len(q.waiting); call == "Publish" && n > 0 && n%PublishChunk == 0 && store.called("MarkQueued") != n/PublishChunk {
			return fmt.Errorf("%d batches on the queue and %d calls marked them", n, store.called("MarkQueued"))
		}
		return nil
	}
	if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatIsMissingIsPublished(t *testing.T) {
	store, q := loaded(t, spec(), numbered(4000)...), newQueue()
	b := store.batches[2]
	b.Done, b.Round = []int{0, 3, 5}, 4
	store.batches[2] = b
	if err := publisher(t, Config{Window: 1 << 20}, store, q).Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	delivered(t, store, q.waiting)
	var indexes []int
	for _, work := range q.waiting {
		for _, g := range work.Generations {
			if work.Batch == 2 && work.Round == 4 {
				indexes = append(indexes, g.Index)
			}
		}
	}
	if diff := cmp.Diff([]int{1, 2, 4, 6}, indexes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABatchThatIsOutstandingCountsAsPublished(t *testing.T) {
	store, q := loaded(t, spec(), numbered(50)...), newQueue()
	if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	for i, b := range store.batches { // they were not marked
		b.State = pipeline.Planned
		store.batches[i] = b
	}
	p := publisher(t, Config{}, store, q)
	if err := p.Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	if n := store.count(pipeline.Queued); n != 50 || p.Published() != 0 || q.refused[pipeline.ErrOutstanding] != 50 {
		t.Errorf("%d batches are queued, %d counted as published, %d were outstanding", n, p.Published(), q.refused[pipeline.ErrOutstanding])
	}
}

func TestAFullStreamIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(200)...), newQueue()
		q.limit = 7
		done := make(chan error, 1)
		p := publisher(t, Config{}, store, q)
		go func() { done <- p.Publish(t.Context(), theRun) }()
		var works []pipeline.Work
		for range 200 {
			time.Sleep(time.Second)
			works = append(works, q.take(3)...)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		delivered(t, store, append(works, q.take(100)...))
		if q.most != 7 || q.refused[pipeline.ErrFull] == 0 || store.count(pipeline.Queued) != 200 {
			t.Errorf("at most %d waited, %d were refused, %d are queued", q.most, q.refused[pipeline.ErrFull], store.count(pipeline.Queued))
		}
	})
}

func TestTheWindowIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(1000)...), newQueue()
		done := make(chan error, 1)
		p := publisher(t, Config{Window: 25, Poll: 100 * time.Millisecond}, store, q)
		go func() { done <- p.Publish(t.Context(), theRun) }()
		var works []pipeline.Work
		for i := range 200 {
			time.Sleep(time.Second)
			synctest.Wait()
			if taken := q.take(1 + i%25); len(taken) > 0 {
				works = append(works, taken...)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		delivered(t, store, append(works, q.take(100)...))
		if q.most != 25 {
			t.Errorf("at most %d batches were outstanding, the window is 25", q.most)
		}
	})
}

// Each worker has a batch in hand, and finds another one when that is done, on any number of GPUs.
func TestTheWindowFollowsTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec()
		store, q := loaded(t, s, numbered(20_000)...), newQueue()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- publisher(t, Config{}, store, q).Publish(ctx, theRun) }()
		queued := func() int {
			time.Sleep(2 * MostPolls * time.Second)
			synctest.Wait()
			q.mu.Lock()
			defer q.mu.Unlock()
			return len(q.waiting)
		}
		if n := queued(); n != pipeline.LeastWindow {
			t.Errorf("without a consumer %d batches are on the queue", n)
		}
		gpu := pipeline.GPUStatus{Slots: 398} // and two workers more
		q.mu.Lock()
		q.present = []pipeline.Presence{{Run: "r", GPUs: []pipeline.GPUStatus{gpu, gpu}}, {Run: "another", GPUs: []pipeline.GPUStatus{gpu}}}
		q.mu.Unlock()
		if n := queued(); n != 3*800 {
			t.Errorf("with 800 workers %d batches are on the queue", n)
		}
		cancel()
		<-done
	})
}

func TestAFullWindowIsSeldomLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(1000)...), newQueue()
		looks := 0
		q.fault = func(call string) error { // while it holds the queue's lock
			if call == "Depth" {
				looks++
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- publisher(t, Config{Window: 100}, store, q).Publish(ctx, theRun) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if looks > 50 {
			t.Errorf("a window that is full for 600 s was looked at %d times", looks)
		}
		q.take(4)
		time.Sleep(MostPolls * time.Second)
		synctest.Wait()
		if got := len(q.waiting); got != 96 {
			t.Errorf("%d batches are on the queue after 4 of 100 were taken: it is filled up for five and more", got)
		}
		q.take(1)
		time.Sleep(MostPolls * time.Second)
		synctest.Wait()
		if got := len(q.waiting); got != 100 {
			t.Errorf("%d batches are on the queue, the window of 100 has room for five", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestAWindowOfOneIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(20)...), newQueue()
		done := make(chan error, 1)
		p := publisher(t, Config{Window: 1}, store, q)
		go func() { done <- p.Publish(t.Context(), theRun) }()
		var works []pipeline.Work
		for range 30 {
			time.Sleep(time.Second)
			synctest.Wait()
			works = append(works, q.take(1)...)
		}
		if err := <-done; err != nil || q.deepest() != 1 {
			t.Errorf("%v, at most %d", err, q.deepest())
		}
		delivered(t, store, works)
	})
}

func TestPublishingGoesOnWhereverItWasInterrupted(t *testing.T) {
	lines := numbered(150)
	count := loaded(t, spec(), lines...)
	count.calls = nil
	if err := publisher(t, Config{}, count, newQueue()).Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(count.calls); n++ {
		for _, worked := range []bool{false, true} {
			store, q := loaded(t, spec(), lines...), newQueue()
			interruptedAt(store, n, worked)
			if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); !errors.Is(err, errAway) {
				t.Fatalf("call %d (%s): %v", n, count.calls[n-1], err)
			}
			if n := store.count(pipeline.Queued); n > len(q.waiting) {
				t.Fatalf("%d batches are marked, %d are on the queue", n, len(q.waiting))
			}
			if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); err != nil {
				t.Fatal(err)
			}
			delivered(t, store, q.waiting)
			if store.count(pipeline.Queued) != len(store.batches) || len(q.waiting) != len(store.batches) {
				t.Errorf("after call %d: %d of %d batches are queued, %d on the queue", n, store.count(pipeline.Queued), len(store.batches), len(q.waiting))
			}
		}
	}
}

// What was accepted before a failure is marked, even when the publisher is being stopped.
func TestWhatWasPublishedBeforeAFailureIsMarked(t *testing.T) {
	store, q := loaded(t, spec(), numbered(250)...), newQueue()
	ctx, stop := context.WithCancel(t.Context())
	q.fault = func(call string) error {
		if call == "Publish" && len(q.waiting) == 130 {
			stop()
			return ctx.Err()
		}
		return nil
	}
	if err := publisher(t, Config{}, store, q).Publish(ctx, theRun); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := store.count(pipeline.Queued); n != 130 || len(q.waiting) != 130 {
		t.Errorf("%d batches are queued, %d are on the queue; want 130", n, len(q.waiting))
	}
}

func TestSeveralPublishersOfARunAreHarmless(t *testing.T) {
	store, q := loaded(t, spec(), numbered(600)...), newQueue()
	var all sync.WaitGroup
	for range 4 {
		p := publisher(t, Config{Window: 1 << 20}, store, q)
		all.Go(func() {
			if err := p.Publish(t.Context(), theRun); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	delivered(t, store, q.waiting)
	if store.count(pipeline.Queued) != len(store.batches) || len(q.waiting) != len(store.batches) {
		t.Errorf("%d of %d batches are queued, %d on the queue", store.count(pipeline.Queued), len(store.batches), len(q.waiting))
	}
}

func TestWhatCannotBePublishedIsExplained(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fakeStore, *fakeQueue)
		want   string
	}{
		{"no such run", func(store *fakeStore, _ *fakeQueue) { store.run.Name = "other" }, "run r was deleted"},
		{"half loaded", func(store *fakeStore, _ *fakeQueue) { store.run.State = pipeline.RunLoading }, "run r is not loaded completely: repeat `producer load --run r` with its flags"},
		{"cancelled", func(store *fakeStore, _ *fakeQueue) { store.run.State = pipeline.RunCancelled }, "run r is cancelled"},
		{"being deleted", func(store *fakeStore, _ *fakeQueue) { store.run.State = pipeline.RunDeleting }, "run r is deleting"},
		{"an item is gone", func(store *fakeStore, _ *fakeQueue) { delete(store.items, 8) }, "item r/000000008 is missing in the store"},
		{"an item is broken", func(store *fakeStore, _ *fakeQueue) {
			store.items[3] = pipeline.Item{Run: "r", Seq: 3, Input: []byte("{}")}
		}, `item r/000000003: there is no column "question"`},
		{"the stream refuses", func(_ *fakeStore, q *fakeQueue) {
			q.fault = func(call string) error {
				if call == "Publish" {
					return errors.New("no permission")
				}
				return nil
			}
		}, "publishing batch r/00000"},
		{"the stream cannot be made", func(_ *fakeStore, q *fakeQueue) { q.fault = func(string) error { return errors.New("account limit") } }, "account limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, q := loaded(t, spec(), numbered(20)...), newQueue()
			c.change(store, q)
			if err := publisher(t, Config{}, store, q).Publish(t.Context(), theRun); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAPublisherIsCheckedWhenItIsMade(t *testing.T) {
	store, q := newStore(), newQueue()
	if _, err := NewPublisher(Config{Window: -1}, store, q); err == nil || !strings.Contains(err.Error(), "window -1") {
		t.Error(err)
	}
	if _, err := NewPublisher(Config{Poll: -1}, store, q); err == nil || !strings.Contains(err.Error(), "poll -1ns") {
		t.Error(err)
	}
	if _, err := NewPublisher(Config{}, store, nil); err == nil {
		t.Error("a publisher without a queue")
	}
}

func TestThePublisherCounts(t *testing.T) {
	registry := prometheus.NewRegistry()
	store, q := loaded(t, spec(), numbered(20)...), newQueue()
	p := publisher(t, Config{Metrics: NewMetrics(registry)}, store, q)
	if err := p.Publish(t.Context(), theRun); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		store.finish(i)
	}
	if _, err := p.Follow(t.Context(), theRun, nil); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += "/" + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"gleaner_batches_published_total": 20, "gleaner_stream_full_total": 0, "gleaner_run_generations/r": 20, "gleaner_run_generations_stored/r": 20,
		"gleaner_run_batches/r/planned": 0, "gleaner_run_batches/r/queued": 0, "gleaner_run_batches/r/done": 20, "gleaner_run_batches/r/dead": 0, "gleaner_run_batches/r/dropped": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestACancelledRunIsNoticedWithinAChunk(t *testing.T) {
	store, q := loaded(t, spec(), numbered(4000)...), newQueue()
	published := 0
	q.lost = func(name string) error {
		if name == "Publish" {
			if published++; published == 1 {
				store.mu.Lock()
				defer store.mu.Unlock()
				store.run.State = pipeline.RunCancelled
			}
		}
		return nil
	}
	err := publisher(t, Config{Window: 1 << 20}, store, q).Publish(t.Context(), theRun)
	if err == nil || !strings.Contains(err.Error(), "run r is cancelled") {
		t.Errorf("got %v, want that the run is cancelled", err)
	}
	if n := len(q.waiting); n > PublishChunk {
		t.Errorf("%d batches were published of a run that was cancelled after the first", n)
	}
}
