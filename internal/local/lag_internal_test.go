package local

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
)

type nowhere struct{ consumer.OutcomePublisher }

func (nowhere) PublishResults(context.Context, pipeline.Results) error { return nil }

func TestTheWayToTheStoreIsAsLongAsTheLastWriteOrWhatWaitsSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at time.Time
		var took time.Duration
		w := &wayToStore{OutcomePublisher: nowhere{}, wrote: func() (time.Time, time.Duration) { return at, took }}
		is := func(what string, want time.Duration) {
			t.Helper()
			if got := w.lag(); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		is("at first", 0)
		_ = w.PublishResults(t.Context(), pipeline.Results{})
		is("published", 0)
		time.Sleep(4 * time.Second)
		is("not written for a while", 4*time.Second)
		at, took = time.Now(), 5*time.Second
		is("written", 5*time.Second)
		time.Sleep(time.Hour)
		is("nothing since", 0)
	})
}
