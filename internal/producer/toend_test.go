package producer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A fakeReconciler says what is lost, one answer after the other, the last for good.
type fakeReconciler struct {
	lost    []func() (int, error)
	asked   int
	running bool
	ended   chan struct{} // closed when Reconcile has returned
}

func newReconciler(lost ...func() (int, error)) *fakeReconciler {
	return &fakeReconciler{lost: lost, ended: make(chan struct{})}
}

func (r *fakeReconciler) Reconcile(ctx context.Context, _ string) error {
	defer close(r.ended)
	r.running = true
	<-ctx.Done()
	return nil
}

func (r *fakeReconciler) Unsettled(context.Context, string) (int, error) {
	answer := r.lost[min(r.asked, len(r.lost)-1)]
	r.asked++
	return answer()
}

func nothingLost() (int, error) { return 0, nil }

// toEnd follows a run whose batches are all generated as soon as they are published.
func toEnd(t *testing.T, cfg Config, store *fakeStore, q *fakeQueue, r Reconciler) (pipeline.Progress, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		for outage.Sleep(ctx, time.Second) == nil {
			finish(store, q)
		}
	})
	defer others.Wait()
	defer stop()
	return publisher(t, cfg, store, q).FollowToEnd(ctx, theRun, r, nil)
}

func TestARunIsFollowedUntilNothingIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		lost  []func() (int, error)
		waits time.Duration
		said  []string
	}{
		"nothing is": {[]func() (int, error){nothingLost}, 0, nil},
		"three generations are, twice": {[]func() (int, error){
			func() (int, error) { return 3, nil }, func() (int, error) { return 3, nil }, nothingLost,
		}, 2 * settleEvery, nil},
		"it cannot be said for a while": {[]func() (int, error){
			func() (int, error) { return 0, errAway }, func() (int, error) { return 0, errors.New("no class") }, nothingLost,
		}, 2 * auditEvery, []string{"looking whether anything is lost; trying again until it works", "looking whether anything is lost; trying again until it works"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, q, r := loaded(t, spec(), numbered(20)...), newQueue(), newReconciler(c.lost...)
				log, logs := observed()
				began := time.Now()
				final, err := toEnd(t, Config{Log: log}, store, q, r)
				if err != nil || final.Stored != 20 || r.asked != len(c.lost) {
					t.Errorf("%v, %+v; it was asked %d times what is lost", err, final, r.asked)
				}
				if took, least := time.Since(began), c.waits; took < least || took > least+5*time.Second {
					t.Errorf("it took %s, want about %s", took, least)
				}
				select {
				case <-r.ended:
				default:
					t.Errorf("the reconciler still works, or never did (%v)", r.running)
				}
				if diff := cmp.Diff([]string{"r"}, q.completed); diff != "" {
					t.Errorf("the consumers were told (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.said, lines(logs)); diff != "" {
					t.Errorf("it said (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestARunThatIsGoneIsNotFollowedAndARefusalAtTheEndIsAnOutage(t *testing.T) {
	refused := func() (int, error) { return 0, pipeline.Fail(pipeline.Fatal, "credentials refused") }
	gone := func() (int, error) { return 0, pipeline.Fail(pipeline.Fatal, "%w", &pipeline.GoneError{Run: "r"}) }
	for want, answers := range map[string][]func() (int, error){"": {refused, refused, nothingLost}, "run r was deleted": {refused, gone}} {
		synctest.Test(t, func(t *testing.T) {
			store, q := loaded(t, spec(), numbered(20)...), newQueue()
			r := newReconciler(answers...)
			_, err := toEnd(t, Config{}, store, q, r)
			if want == "" && (err != nil || len(q.completed) != 1) || want != "" && (err == nil || err.Error() != want || len(q.completed) > 0) {
				t.Errorf("%v; the consumers were told of %q", err, q.completed)
			}
			<-r.ended
		})
	}
}

func TestFollowingToTheEndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(20)...), newQueue()
		r := newReconciler(nothingLost)
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		_, err := publisher(t, Config{}, store, q).FollowToEnd(ctx, theRun, r, nil)
		if !errors.Is(err, context.DeadlineExceeded) || r.asked > 0 || len(q.completed) > 0 {
			t.Errorf("%v; it was asked %d times what is lost, and the consumers were told of %q", err, r.asked, q.completed)
		}
		<-r.ended
	})
}

func TestConsumersAreToldOfARunThatIsCompleteForGoodOnly(t *testing.T) {
	for name, c := range map[string]struct {
		states []pipeline.BatchState // of three batches with one generation each
		want   []string
	}{
		"all stored":         {[]pipeline.BatchState{pipeline.Done, pipeline.Done, pipeline.Done}, []string{"r"}},
		"one dropped":        {[]pipeline.BatchState{pipeline.Done, pipeline.Dropped, pipeline.Done}, []string{"r"}},
		"one dead":           {[]pipeline.BatchState{pipeline.Done, pipeline.Dead, pipeline.Done}, nil},
		"one is on its way":  {[]pipeline.BatchState{pipeline.Done, pipeline.Queued, pipeline.Done}, nil},
		"one is just queued": {[]pipeline.BatchState{pipeline.Done, pipeline.Planned, pipeline.Done}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, q := loaded(t, spec(), numbered(3)...), newQueue()
				for i, state := range c.states {
					b := store.batches[i]
					if b.State = state; state == pipeline.Done {
						b.Done = []int{0}
					}
					store.batches[i] = b
				}
				if err := publisher(t, Config{}, store, q).PublishAll(t.Context(), theRun); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, q.completed); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What cannot be told costs waiting, and the run is complete all the same.
func TestThatConsumersCannotBeToldIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(3)...), newQueue()
		q.fault = func(call string) error {
			if call == "CompleteRun" {
				return errAway
			}
			return nil
		}
		log, logs := observed()
		if _, err := toEnd(t, Config{Log: log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))}, store, q, newReconciler(nothingLost)); err != nil {
			t.Error(err)
		}
		if logs.FilterMessageSnippet("telling the consumers that the run is complete").Len() != 1 {
			t.Errorf("it said %q", lines(logs))
		}
	})
}

func TestWhatIsUnansweredIsNamedWithTheCommandsThatHelp(t *testing.T) {
	if err := Unanswered("r", pipeline.Progress{Generations: 9, Stored: 9}, "broken"); err != nil {
		t.Error(err)
	}
	err := Unanswered("r", pipeline.Progress{Generations: 9, Stored: 6, Dropped: 3}, "broken")
	if err == nil || err.Error() != "run r: 3 of 9 generations have no answer" {
		t.Error(err)
	}
	err = Unanswered("r", pipeline.Progress{Generations: 9, Stored: 6, Dropped: 1, Failed: 2}, "2 truncated (cut off)")
	if err == nil || !strings.Contains(err.Error(), "3 of 9 generations have no answer: 2 truncated (cut off): `producer dead list --run r` says why, `producer dead redrive --run r`") {
		t.Error(err)
	}
}

func TestARunThatItsFailuresPausedGoesOnWhenItIsStartedAgain(t *testing.T) {
	for cause, paused := range map[pipeline.PauseCause]bool{pipeline.PausedByFailures: false, pipeline.PausedByPerson: true} {
		synctest.Test(t, func(t *testing.T) {
			store, q := loaded(t, spec(), numbered(10)...), newQueue()
			store.pause(cause)
			if _, err := toEnd(t, Config{}, store, q, newReconciler(nothingLost)); err != nil {
				t.Fatal(err)
			}
			if store.run.Paused() != paused {
				t.Errorf("paused by %s: it is paused: %t", cause, store.run.Paused())
			}
		})
	}
}
