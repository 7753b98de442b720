package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A world has several runs, each in a store and on a queue of its own behind one of each.
type world struct {
	t *testing.T

	mu     sync.Mutex
	runs   map[string]*fakeStore
	queues map[string]*fakeQueue
	asked  map[string]int // calls by name
	fault  error          // of each Progress; may be nil
	said   []string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, runs: map[string]*fakeStore{}, queues: map[string]*fakeQueue{}, asked: map[string]int{}}
}

// load adds a run of this many rows.
func (w *world) load(name string, rows int) {
	w.t.Helper()
	found, err := RunPreflight(w.t.Context(), name, spec(), rowsOf("train.jsonl", numbered(rows)...), nil)
	store := newStore()
	if err == nil {
		_, _, err = Load(w.t.Context(), store, found, "uid of "+name, nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[name], w.queues[name] = store, newQueue()
}

// of returns the store and the queue of a run.
func (w *world) of(name, call string) (*fakeStore, *fakeQueue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[call]++
	if w.runs[name] == nil {
		return newStore(), newQueue()
	}
	return w.runs[name], w.queues[name]
}

func (w *world) calls(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[call]
}

// finish generates what is published of a run.
func (w *world) finish(name string) {
	store, q := w.of(name, "")
	finish(store, q)
}

// fail has what is published of a run fail.
func (w *world) fail(name string) {
	store, q := w.of(name, "")
	works := q.take(1 << 20)
	store.mu.Lock()
	defer store.mu.Unlock()
	for _, work := range works {
		b := store.batches[work.Batch]
		for i := range b.Count {
			b.Failed = append(b.Failed, i)
		}
		b.State = pipeline.Dead
		store.batches[work.Batch] = b
	}
}

func (w *world) all() map[string]*fakeStore {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.runs)
}

func (w *world) Runs(ctx context.Context) (runs []pipeline.Run, err error) {
	w.of("", "Runs")
	all := w.all()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		run, err := all[name].Run(ctx, name)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func (w *world) CountRuns(ctx context.Context, state pipeline.RunState) (n int, err error) {
	w.of("", "CountRuns")
	for name, store := range w.all() {
		run, err := store.Run(ctx, name)
		if err != nil {
			return 0, err
		}
		if run.State == state {
			n++
		}
	}
	return n, nil
}

func (w *world) Run(ctx context.Context, name string) (pipeline.Run, error) {
	store, _ := w.of(name, "Run")
	return store.Run(ctx, name)
}

func (w *world) Progress(ctx context.Context, run string, since time.Time) (pipeline.Progress, error) {
	store, _ := w.of(run, "Progress")
	if w.fault != nil {
		return pipeline.Progress{}, w.fault
	}
	return store.Progress(ctx, run, since)
}

func (w *world) Items(ctx context.Context, run string, first, count int) ([]pipeline.Item, error) {
	store, _ := w.of(run, "Items")
	return store.Items(ctx, run, first, count)
}

func (w *world) Batches(ctx context.Context, run string, state pipeline.BatchState, from, count int) ([]pipeline.Batch, error) {
	store, _ := w.of(run, "Batches")
	return store.Batches(ctx, run, state, from, count)
}

func (w *world) MarkQueued(ctx context.Context, run string, indexes []int, at time.Time) error {
	store, _ := w.of(run, "MarkQueued")
	return store.MarkQueued(ctx, run, indexes, at)
}

func (w *world) Resume(ctx context.Context, run, uid string, at time.Time) error {
	store, _ := w.of(run, "Resume")
	return store.Resume(ctx, run, uid, at)
}

// The other side of the world: its queue.
type worldQueue struct{ *world }

func (q worldQueue) Runs(context.Context) (infos []pipeline.RunInfo, err error) {
	q.of("", "queue Runs")
	for name := range q.all() {
		_, of := q.of(name, "")
		of.mu.Lock()
		if of.ensured {
			infos = append(infos, pipeline.RunInfo{Run: name, Waiting: len(of.waiting), Complete: len(of.completed) > 0})
		}
		of.mu.Unlock()
	}
	return infos, nil
}

func (q worldQueue) EnsureRun(ctx context.Context, run pipeline.Run) error {
	_, of := q.of(run.Name, "EnsureRun")
	return of.EnsureRun(ctx, run)
}

func (q worldQueue) Publish(ctx context.Context, work pipeline.Work) error {
	_, of := q.of(work.Run, "Publish")
	return of.Publish(ctx, work)
}

func (q worldQueue) Fit(work pipeline.Work) (pipeline.Work, error) { return work, nil }

func (q worldQueue) PublishDeadLetter(context.Context, pipeline.DeadLetter) error { return nil }

func (q worldQueue) Depth(ctx context.Context, run string) (pipeline.StreamDepth, error) {
	_, of := q.of(run, "Depth")
	return of.Depth(ctx, run)
}

func (q worldQueue) Consumers(context.Context) ([]pipeline.Presence, error) { return nil, nil }

func (q worldQueue) CompleteRun(ctx context.Context, run pipeline.Run) error {
	_, of := q.of(run.Name, "CompleteRun")
	return of.CompleteRun(ctx, run)
}

func (q worldQueue) TellConsumers(context.Context, pipeline.Run, pipeline.News) error { return nil }

// What the attendant says.
func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *world) Begins(run pipeline.Run)            { w.say("%s begins", run.Name) }
func (w *world) Looks(_ context.Context, look Look) {}
func (w *world) Pauses(run pipeline.Run, why *TooManyFailures) {
	w.say("%s pauses: %s", run.Name, why.Reason())
}

func (w *world) Ends(_ context.Context, run pipeline.Run, err error, again bool) {
	w.say("%s ends %v %t", run.Name, err, again)
}

// saidSince returns what was said since it was asked last, in order of the alphabet.
func (w *world) saidSince() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := slices.Sorted(slices.Values(w.said))
	w.said = nil
	return said
}

// settled reconciles runs of which nothing is ever lost.
type settled struct{}

func (settled) Reconcile(ctx context.Context, _ string) error  { <-ctx.Done(); return nil }
func (settled) Unsettled(context.Context, string) (int, error) { return 0, nil }

// attend attends the runs of a world until the test ends it.
func (w *world) attend(cfg Config) (stop func()) {
	w.t.Helper()
	cfg.PauseRun = func(_ context.Context, run pipeline.Run, cause pipeline.PauseCause, _ string) error {
		store, _ := w.of(run.Name, "Pause")
		store.pause(cause)
		return nil
	}
	p, err := NewPublisher(cfg, w, worldQueue{w})
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := NewAttendant(p, settled{}, w, worldQueue{w}, w)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := errors.Join(a.Await(ctx, func() { w.say("no run yet") }), a.Run(ctx)); err != nil {
			w.t.Error(err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func (w *world) expect(after time.Duration, want ...string) {
	w.t.Helper()
	_ = outage.Sleep(w.t.Context(), after)
	synctest.Wait()
	if diff := cmp.Diff(want, w.saidSince()); diff != "" {
		w.t.Errorf("it said (-want +got):\n%s", diff)
	}
}

func TestAllOpenRunsAreFollowedAlsoThoseThatComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.attend(Config{})
		defer stop()
		w.expect(time.Minute, "no run yet")
		w.load("one", 20)
		w.load("two", 30)
		w.expect(5*time.Second, "one begins", "two begins")
		w.finish("two")
		w.expect(5*time.Second, "two ends <nil> false")
		w.load("three", 10)
		w.expect(5*time.Second, "three begins")
		w.finish("one")
		w.finish("three")
		w.expect(5*time.Second, "one ends <nil> false", "three ends <nil> false")
		w.expect(time.Hour)
		for name, store := range w.all() {
			if n := store.count(pipeline.Done); n != len(store.batches) {
				t.Errorf("%s: %d batches are done", name, n)
			}
		}
	})
}

func TestARunThatIsOverIsDroppedAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.load("one", 20)
		w.load("two", 20)
		stop := w.attend(Config{})
		defer stop()
		w.expect(5*time.Second, "one begins", "two begins")
		store, _ := w.of("one", "")
		store.mu.Lock()
		store.run.State = pipeline.RunCancelled
		store.mu.Unlock()
		_ = outage.Sleep(t.Context(), 5*time.Second)
		synctest.Wait()
		if said := w.saidSince(); len(said) != 1 || !strings.HasPrefix(said[0], "one ends run one is cancelled") || !strings.HasSuffix(said[0], " false") {
			t.Errorf("it said %q", said)
		}
		w.expect(time.Hour)
		w.finish("two")
		w.expect(5*time.Second, "two ends <nil> false")
	})
}

func TestARunThatItsFailuresPauseStaysPausedUntilAPersonLetsItGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.load("bad", 100)
		w.load("good", 20)
		stop := w.attend(Config{Window: 30, MaxFailures: FailureLimit{Count: 5}})
		defer func() { stop() }()
		w.expect(5*time.Second, "bad begins", "good begins")
		w.fail("bad")
		w.expect(5*time.Second, "bad pauses: 30 of 30 generations failed")
		w.fail("bad") // what was handed out before
		w.expect(time.Hour)
		stop() // and one that is started later finds it paused, too
		stop = w.attend(Config{Window: 30, MaxFailures: FailureLimit{Count: 5}})
		w.expect(time.Minute, "bad begins", "good begins")
		store, _ := w.of("bad", "")
		if run, _ := store.Run(t.Context(), "bad"); !run.Paused() {
			t.Error("it goes on")
		}
		if err := store.Resume(t.Context(), "bad", "uid of bad", time.Now()); err != nil {
			t.Fatal(err)
		}
		w.finish("good")
		w.expect(10*time.Second, "good ends <nil> false")
		w.fail("bad")
		w.expect(10*time.Second, "bad pauses: 30 of 30 generations failed")
	})
}

func TestRunsThatAreCompleteCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 100 {
			name := fmt.Sprint("done-", i)
			w.load(name, 1)
			store, _ := w.of(name, "")
			store.finish(0)
		}
		stop := w.attend(Config{})
		defer stop()
		w.expect(5 * time.Second)
		if n := w.calls("Progress"); n != 100 {
			t.Errorf("the store was asked %d times how far a run is, want once for each", n)
		}
		if n := w.calls("EnsureRun"); n > 0 {
			t.Errorf("%d runs were put on the queue", n)
		}
		lists := w.calls("Runs")
		w.expect(time.Hour)
		if n := w.calls("Progress"); n != 100 {
			t.Errorf("later it was asked %d times", n-100)
		}
		if n := w.calls("Runs") - lists; n > 60 {
			t.Errorf("all runs were listed %d times in an hour", n)
		}
		w.load("new", 3)
		w.expect(5*time.Second, "new begins")
	})
}

func TestARunThatIsRedrivenIsFollowedAnotherTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.load("one", 4)
		stop := w.attend(Config{})
		defer stop()
		w.expect(5*time.Second, "one begins")
		w.fail("one")
		w.expect(5*time.Second, "one ends <nil> false")
		store, q := w.of("one", "")
		store.mu.Lock()
		b := store.batches[0]
		b.Failed, b.State, b.Round = nil, pipeline.Queued, 2
		store.batches[0] = b
		store.mu.Unlock()
		q.mu.Lock()
		q.waiting = append(q.waiting, pipeline.Work{Run: "one", Batch: 0})
		q.mu.Unlock()
		w.expect(2*time.Minute, "one begins")
		w.finish("one")
		w.expect(5*time.Second, "one ends <nil> false")
	})
}

func TestARunThatIsRedrivenAndDoneUnseenIsToldToItsConsumers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.load("one", 4)
		stop := w.attend(Config{})
		defer stop()
		w.expect(5*time.Second, "one begins")
		w.fail("one")
		w.expect(5*time.Second, "one ends <nil> false")
		w.expect(10 * time.Minute) // it has failures, which may be redriven, so its consumers wait
		store, q := w.of("one", "")
		for batch := range store.batches {
			store.finish(batch)
		}
		w.expect(2*time.Minute, "one begins", "one ends <nil> false")
		if len(q.completed) != 1 {
			t.Errorf("the consumers were told %d times that it is complete", len(q.completed))
		}
		w.expect(10 * time.Minute)
	})
}

func TestARunThatCannotBeFollowedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.load("one", 4)
		store, _ := w.of("one", "")
		prompt := store.run.Spec
		store.run.Spec.Field, store.run.Spec.Prompt = "", "{{ nothing"
		store.run.Spec.Language = pipeline.Jinja
		w.load("two", 4)
		stop := w.attend(Config{})
		defer stop()
		_ = outage.Sleep(t.Context(), 5*time.Second)
		synctest.Wait()
		if said := w.saidSince(); len(said) != 3 || !strings.HasPrefix(said[1], "one ends ") || !strings.HasSuffix(said[1], " true") {
			t.Errorf("it said %q", said)
		}
		w.finish("two")
		store.mu.Lock()
		store.run.Spec = prompt
		store.mu.Unlock()
		w.expect(3*time.Minute, "one begins", "two ends <nil> false")
		w.finish("one")
		w.expect(5*time.Second, "one ends <nil> false")
	})
}

func TestTheWindowIsSharedByTheRunsThatAreAttended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 5 {
			w.load(fmt.Sprint("run-", i), 1000)
		}
		stop := w.attend(Config{})
		defer stop()
		_ = outage.Sleep(t.Context(), 10*time.Second)
		synctest.Wait()
		for name := range w.all() {
			if _, q := w.of(name, ""); q.deepest() != pipeline.LeastWindow/5 {
				t.Errorf("%s has up to %d batches on the queue", name, q.deepest())
			}
		}
	})
}
