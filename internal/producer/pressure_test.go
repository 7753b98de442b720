package producer

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"gleaner/internal/pipeline"
)

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	return zap.New(core), logs
}

// lines are the messages of all that was logged, in order.
func lines(logs *observer.ObservedLogs) (messages []string) {
	for _, e := range logs.All() {
		messages = append(messages, e.Message)
	}
	return messages
}

func TestAFullQueueIsToldOnceAndThatItIsOverToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(200)...), newQueue()
		q.limit = 7
		log, logs := observed()
		done := make(chan error, 1)
		go func() { done <- publisher(t, Config{Log: log}, store, q).Persist(t.Context(), theRun) }()
		time.Sleep(time.Hour) // nothing is taken
		synctest.Wait()
		if got := lines(logs); len(got) != 1 || logs.FilterMessageSnippet("the queue has no room").Len() != 1 {
			t.Errorf("in an hour it said %q", got)
		}
		// A dead letter of a batch that is not marked cannot be dropped, and that may be what makes
		// room.
		if marked := store.count(pipeline.Queued); marked != 7 {
			t.Errorf("while it waits %d batches are marked, want the 7 that are on the queue", marked)
		}
		if tries := q.refused[pipeline.ErrFull]; tries > 1000 { // of the 64 that go out at once, and one each five seconds then
			t.Errorf("in an hour it sent %d messages to no effect", tries)
		}
		for range 200 {
			time.Sleep(time.Second)
			q.take(3)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := logs.FilterMessageSnippet("takes batches again").Len(); n < 1 || len(lines(logs)) > 4 {
			t.Errorf("with a queue that was full all the time it said %q", lines(logs))
		}
	})
}

// Over its quota, Atlas refuses writes and answers reads. What is on the queue already must not be
// published, and generated, again and again until Atlas takes writes.
func TestWhileTheStoreRefusesWritesNoBatchIsPublishedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := loaded(t, spec(), numbered(500)...), newQueue()
		log, logs := observed()
		begin := time.Now()
		full := func() bool { return time.Since(begin) < 10*time.Minute }
		store.fault = func(call string) (before, after error) {
			if call == "MarkQueued" && full() {
				return pipeline.Fail(pipeline.Retryable, "you are over your space quota, using 513 MB of 512 MB"), nil
			}
			return nil, nil
		}
		done := make(chan error, 1)
		go func() { done <- publisher(t, Config{Log: log}, store, q).Persist(t.Context(), theRun) }()
		var works []pipeline.Work
		for full() {
			time.Sleep(time.Second)
			works = append(works, q.take(10)...)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		works = append(works, q.take(1000)...)
		delivered(t, store, works)
		if len(works) != len(store.batches) || store.count(pipeline.Queued) != len(store.batches) {
			t.Errorf("%d messages for %d batches, %d are marked", len(works), len(store.batches), store.count(pipeline.Queued))
		}
		if got := lines(logs); len(got) != 2 || got[0] != "cannot publish; nothing is lost, trying again until it works" || got[1] != "publishing goes on" {
			t.Errorf("it said %q", got)
		}
	})
}
