package stream

import (
	"errors"
	"testing"

	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func TestEnsureRunMakesWhatIsGoneAgain(t *testing.T) {
	server := serve(t)
	c, js := ready(t, Config{URL: server.URL()}), admin(t, server.URL())
	for _, name := range []string{WorkStream, ResultsStream, DeadStream, bucketStream} {
		must(t, js.DeleteStream(t.Context(), name))
		must(t, c.EnsureRun(t.Context(), testRun("r")))
		must(t, c.Publish(t.Context(), testWork("r", 0)))
		must(t, c.PublishResults(t.Context(), testResults("r", 0, "x")))
		must(t, c.PutPresence(t.Context(), pipeline.Presence{ID: "01J", Run: "r"}))
		for stream, durable := range map[string]string{WorkStream: "r", ResultsStream: sinkDurable, DeadStream: mirrorDurable} {
			if _, err := js.Consumer(t.Context(), stream, durable); err != nil {
				t.Errorf("when %s was deleted: durable %s: %v", name, durable, err)
			}
		}
		_, err := c.CancelRun(t.Context(), "r")
		must(t, err)
	}
}

func TestEnsureRunRefusesAStreamWithOtherRules(t *testing.T) {
	server := serve(t)
	c, js := ready(t, Config{URL: server.URL()}), admin(t, server.URL())
	must(t, js.DeleteStream(t.Context(), ResultsStream))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: ResultsStream, Subjects: []string{"gleaner.result.>"}})
	must(t, err)
	wantError(t, c.EnsureRun(t.Context(), testRun("r")), pipeline.Fatal, ResultsStream, "retention")
}

func TestABatchForAStreamThatIsGoneIsRefusedWithWhatToDo(t *testing.T) {
	server := serve(t)
	c, js := ready(t, Config{URL: server.URL()}), admin(t, server.URL())
	must(t, js.DeleteStream(t.Context(), WorkStream))
	wantError(t, c.Publish(t.Context(), testWork("r", 0)), pipeline.Retryable, "publish batch r/0000000", "the stream is gone", "producer publish --run r --follow")
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	must(t, c.Publish(t.Context(), testWork("r", 0)))
}

func TestAResultsStreamThatIsGoneHoldsNothing(t *testing.T) {
	server := serve(t)
	c, js := ready(t, Config{URL: server.URL()}), admin(t, server.URL())
	must(t, c.Publish(t.Context(), testWork("r", 0)))
	must(t, js.DeleteStream(t.Context(), ResultsStream))
	if depth, err := c.Depth(t.Context(), "r"); err != nil || depth != (pipeline.StreamDepth{Waiting: 1}) {
		t.Errorf("got %+v, %v", depth, err)
	}
	must(t, js.DeleteStream(t.Context(), WorkStream))
	if _, err := c.Depth(t.Context(), "r"); !errors.Is(err, pipeline.ErrNoRun) {
		t.Errorf("got %v, want no run", err)
	}
}

func TestTheQueueOfARunIsListed(t *testing.T) {
	server := serve(t)
	c, js := ready(t, Config{URL: server.URL()}), admin(t, server.URL())
	must(t, c.EnsureRun(t.Context(), testRun("r2")))
	for batch := range 5 {
		must(t, c.Publish(t.Context(), testWork("r", 3*batch)))
		must(t, c.Publish(t.Context(), testWork("r2", batch)))
	}
	source := c.Work("r")
	must(t, next(t, source).Ack(t.Context())) // the first
	next(t, source)                           // a batch that is held is on the queue
	queued, err := c.Queued(t.Context(), "r")
	must(t, err)
	if diff := cmp.Diff(map[int]bool{3: true, 6: true, 9: true, 12: true}, queued); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	must(t, js.DeleteStream(t.Context(), WorkStream))
	if queued, err := c.Queued(t.Context(), "r"); err != nil || len(queued) != 0 {
		t.Errorf("without a stream: %v, %v", queued, err)
	}
}
