package stream

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
)

// A server that is killed may have counted an acknowledgement and still have the message on its
// disk, which it hands out to no one. Only the sequence tells it from one that waits.
func TestAMessageThatTheServerKeptAfterItsAcknowledgementIsKnownAsSettled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := natsdtest.Start(t, natsd.Config{Dir: dir})
	c := ready(t, Config{URL: server.URL()})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	work := next(t, c.Work("r"))
	must(t, c.PublishResults(t.Context(), testResults("r", 1, "42")))
	results, err := c.Results(t.Context(), 1, time.Second)
	must(t, err)
	is := func(when string, inResults, handsOut bool) {
		t.Helper()
		stored, found, err := c.FindWork(t.Context(), "r", 1)
		must(t, err)
		info, err := c.RunInfo(t.Context(), "r")
		must(t, err)
		if !found || (stored.Sequence > info.Settled) != handsOut {
			t.Errorf("%s: message %d, found %v, is settled up to %d", when, stored.Sequence, found, info.Settled)
		}
		if is, err := c.InResults(t.Context(), "r", 1); err != nil || is != inResults {
			t.Errorf("%s: in the results: %v, %v", when, is, err)
		}
	}
	is("held", true, true)
	kept := t.TempDir()
	messages := func(stream string) string {
		found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", stream, "msgs"))
		if err != nil || len(found) != 1 {
			t.Fatalf("the messages of %s: %v, %v", stream, found, err)
		}
		return found[0]
	}
	streams := []string{WorkStream, ResultsStream}
	for _, stream := range streams {
		must(t, os.CopyFS(filepath.Join(kept, stream), os.DirFS(messages(stream))))
	}
	must(t, work.Ack(t.Context()))
	must(t, results[0].Ack(t.Context()))
	counted := func() bool {
		floor, err := c.settled(t.Context(), ResultsStream, sinkDurable)
		info, failure := c.RunInfo(t.Context(), "r")
		return err == nil && failure == nil && floor == 1 && info.Settled == 1
	}
	eventually(t, counted, func() string { return "the acknowledgements are not counted" })
	server.Shutdown()
	for _, stream := range streams {
		folder := messages(stream)
		must(t, os.RemoveAll(folder))
		must(t, os.CopyFS(folder, os.DirFS(filepath.Join(kept, stream))))
	}
	server.Restart()
	is("after the restart", false, false)
	stray, _, err := c.FindWork(t.Context(), "r", 1)
	must(t, err)
	must(t, c.RemoveWork(t.Context(), "r", 1, stray.Sequence))
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	if again := next(t, c.Work("r")); again.Body.Batch != 1 || again.Deliveries != 1 {
		t.Errorf("got %+v", again)
	}
	depthIs(t, c, "r", pipeline.StreamDepth{Held: 1, Results: 1})
}
