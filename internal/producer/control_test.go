package producer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// A fakeControl is a store and streams that note what is done to runs, and when.
type fakeControl struct {
	began time.Time
	calls []string
	fails string       // the call that fails
	run   pipeline.Run // that the store has
	told  []pipeline.News

	passed   *pipeline.RunPause // to the queue
	queueUID string             // of the run that the queue has, if it is another
	unqueued error              // what the queue says of the run
	left     []int              // batches on the queue, at each time that it is emptied
}

func (f *fakeControl) call(name string) error {
	f.calls = append(f.calls, name+" after "+time.Since(f.began).String())
	if name == f.fails {
		return errAway
	}
	return nil
}

// Run returns the run that is there now.
func (f *fakeControl) Run(context.Context, string) (pipeline.Run, error) { return f.run, nil }

func (f *fakeControl) RunInfo(context.Context, string) (pipeline.RunInfo, error) {
	if f.queueUID != "" {
		return pipeline.RunInfo{Run: f.run.Name, UID: f.queueUID}, nil
	}
	return pipeline.RunInfo{Run: f.run.Name, UID: f.run.UID}, f.unqueued
}

func (f *fakeControl) TellConsumers(_ context.Context, _ pipeline.Run, what pipeline.News) error {
	f.told = append(f.told, what)
	return errAway // no one depends on it
}

func (f *fakeControl) Pause(_ context.Context, _, _ string, pause pipeline.RunPause) error {
	f.run.Pause = &pause
	return f.call("store.Pause")
}

func (f *fakeControl) Resume(context.Context, string, string, time.Time) error {
	return f.call("store.Resume")
}

func (f *fakeControl) Cancel(context.Context, string) error { return f.call("store.Cancel") }
func (f *fakeControl) PauseRun(_ context.Context, run pipeline.Run) error {
	f.passed = run.Pause
	return f.call("PauseRun")
}
func (f *fakeControl) ResumeRun(context.Context, string) error { return f.call("ResumeRun") }
func (f *fakeControl) RemoveRun(context.Context, string) error { return f.call("RemoveRun") }

func (f *fakeControl) CancelRun(context.Context, string) (int, error) {
	n := f.left[0]
	f.left = f.left[1:]
	return n, f.call("CancelRun")
}

func (f *fakeControl) Progress(context.Context, string, time.Time) (pipeline.Progress, error) {
	return pipeline.Progress{Stored: 5, Generations: 9}, f.call("store.Progress")
}

func (f *fakeControl) DeleteRun(_ context.Context, _ string, progress func(int)) error {
	progress(1)
	progress(7)
	return f.call("store.DeleteRun")
}

func newControl(fails string) (*fakeControl, *Control) {
	f := &fakeControl{began: time.Now(), fails: fails, left: []int{4, 2}, run: openRun}
	return f, NewControl(f, f)
}

func TestCancelEndsTheRunInTheStoreAndEmptiesTheQueueTwice(t *testing.T) {
	for name, c := range map[string]struct {
		fails string
		want  CancelReport
		calls []string
	}{
		"all goes well": {"", CancelReport{Removed: 6, Stored: 5, Generations: 9},
			[]string{"store.Cancel after 0s", "CancelRun after 0s", "CancelRun after 2s", "store.Progress after 2s"}},
		"the store fails": {"store.Cancel", CancelReport{}, []string{"store.Cancel after 0s"}},
		"the queue fails": {"CancelRun", CancelReport{Removed: 4}, []string{"store.Cancel after 0s", "CancelRun after 0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, control := newControl(c.fails)
				report, err := control.Cancel(t.Context(), theRun)
				if (err != nil) != (c.fails != "") {
					t.Error(err)
				}
				if diff := cmp.Diff(c.want, report); diff != "" {
					t.Errorf("the report (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.calls, f.calls); diff != "" {
					t.Errorf("the calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCancelCanBeInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, control := newControl("")
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := control.Cancel(ctx, theRun); !errors.Is(err, context.DeadlineExceeded) || len(f.calls) != 2 {
			t.Errorf("%v after %q", err, f.calls)
		}
	})
}

func TestDeleteRemovesTheRunFromTheStreamsBeforeAndAfterTheStore(t *testing.T) {
	for fails, want := range map[string][]string{
		"":                {"RemoveRun after 0s", "store.DeleteRun after 0s", "RemoveRun after 0s"},
		"RemoveRun":       {"RemoveRun after 0s"},
		"store.DeleteRun": {"RemoveRun after 0s", "store.DeleteRun after 0s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, control := newControl(fails)
			var seen []int
			removed, err := control.Delete(t.Context(), theRun, func(n int) { seen = append(seen, n) })
			if (err != nil) != (fails != "") {
				t.Errorf("%q fails: %v", fails, err)
			}
			if diff := cmp.Diff(want, f.calls); diff != "" {
				t.Errorf("%q fails: the calls (-want +got):\n%s", fails, diff)
			}
			if fails == "" && (removed != 7 || !cmp.Equal(seen, []int{1, 7})) {
				t.Errorf("%d documents removed, seen %v", removed, seen)
			}
			if _, err := control.Delete(t.Context(), theRun, nil); (err != nil) != (fails != "") {
				t.Errorf("without progress: %v", err)
			}
		})
	}
}

// openRun is theRun as the store has it.
var openRun = pipeline.Run{Name: "r", UID: "uid", State: pipeline.RunOpen}

// The store comes first: the process that follows the run takes it over to the queue.
func TestPauseAndResumeReachTheStoreAndThenTheStreams(t *testing.T) {
	for fails, want := range map[string][]string{
		"":             {"store.Pause after 0s", "PauseRun after 0s", "store.Resume after 0s", "ResumeRun after 0s"},
		"store.Pause":  {"store.Pause after 0s"},
		"PauseRun":     {"store.Pause after 0s", "PauseRun after 0s"},
		"store.Resume": {"store.Pause after 0s", "PauseRun after 0s", "store.Resume after 0s"},
		"ResumeRun":    {"store.Pause after 0s", "PauseRun after 0s", "store.Resume after 0s", "ResumeRun after 0s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, control := newControl(fails)
			err := control.Pause(t.Context(), theRun, pipeline.PausedByFailures, "the first 20 failed")
			if err == nil {
				err = control.Resume(t.Context(), theRun)
			}
			if (err != nil) != (fails != "") {
				t.Errorf("%q fails: %v", fails, err)
			}
			if diff := cmp.Diff(want, f.calls); diff != "" {
				t.Errorf("%q fails (-want +got):\n%s", fails, diff)
			}
			stored := &pipeline.RunPause{Since: f.began, Cause: pipeline.PausedByFailures, Reason: "the first 20 failed"}
			if diff := cmp.Diff(stored, f.run.Pause); diff != "" {
				t.Errorf("%q fails: what is stored (-want +got):\n%s", fails, diff)
			}
			if fails == "" && f.passed != f.run.Pause {
				t.Errorf("the queue got %+v", f.passed)
			}
		})
	}
}

func TestARunThatIsNotOnTheQueueIsPausedInTheStore(t *testing.T) {
	f, control := newControl("")
	f.unqueued = pipeline.ErrNoRun
	if err := errors.Join(control.Pause(t.Context(), theRun, pipeline.PausedByPerson, ""), control.Resume(t.Context(), theRun)); err != nil {
		t.Error(err)
	}
}

func TestOnlyAnOpenRunIsPaused(t *testing.T) {
	for _, state := range []pipeline.RunState{pipeline.RunLoading, pipeline.RunCancelled, pipeline.RunDeleting} {
		f, control := newControl("")
		f.run.State = state
		err := control.Pause(t.Context(), theRun, pipeline.PausedByPerson, "")
		if want := "run r is " + string(state) + ": it cannot be paused"; err == nil || err.Error() != want || len(f.calls) > 0 {
			t.Errorf("got %v after %q, want %s", err, f.calls, want)
		}
	}
}

// The store may have been restored, or the queue may be behind.
func TestAnotherLoadOnTheQueueIsNotPaused(t *testing.T) {
	f, control := newControl("")
	f.queueUID = "another"
	for _, err := range []error{control.Pause(t.Context(), theRun, pipeline.PausedByPerson, ""), control.Resume(t.Context(), theRun)} {
		if err == nil || !strings.Contains(err.Error(), "another load of it") || len(f.calls) > 0 {
			t.Errorf("got %v after %q", err, f.calls)
		}
	}
}

func TestNothingIsDoneToAnotherRunOfTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, control := newControl("")
		f.run.UID, f.run.CreatedAt = "another", time.Date(2026, 3, 1, 7, 30, 0, 0, time.UTC)
		_, cancelled := control.Cancel(t.Context(), theRun)
		_, deleted := control.Delete(t.Context(), theRun, nil)
		paused, resumed := control.Pause(t.Context(), theRun, pipeline.PausedByPerson, ""), control.Resume(t.Context(), theRun)
		for _, err := range []error{cancelled, deleted, paused, resumed} {
			if err == nil || !errors.Is(err, pipeline.ErrNoRun) || err.Error() != "run r was deleted; a new run of that name was loaded at 2026-03-01 07:30:00 UTC" {
				t.Errorf("got %v", err)
			}
		}
		if len(f.calls)+len(f.told) > 0 {
			t.Errorf("it did %q and told %q", f.calls, f.told)
		}
	})
}

func TestTheConsumersAreToldHowARunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, control := newControl("")
		_, cancelled := control.Cancel(t.Context(), theRun)
		_, deleted := control.Delete(t.Context(), theRun, nil)
		if err := errors.Join(cancelled, deleted); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]pipeline.News{pipeline.NewsCancelled, pipeline.NewsDeleted}, f.told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
