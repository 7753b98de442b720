package stream

import (
	"os"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
)

// A server that was restored has messages again that were acknowledged. They are taken off by their
// sequence, also those that someone held when the copy was made, and every other message is still
// handed out.
func TestWhatARestoredServerBringsBackIsTakenOffBySequence(t *testing.T) {
	t.Parallel()
	const all, held = 30, 10
	dir := t.TempDir()
	server := natsdtest.Start(t, natsd.Config{Dir: dir})
	c := ready(t, Config{URL: server.URL(), Lease: time.Second})
	for batch := range all {
		must(t, c.Publish(t.Context(), testWork("r", batch)))
	}
	source := c.Work("r")
	for range held {
		next(t, source)
	}
	backup := t.TempDir() // what a kill leaves
	must(t, os.CopyFS(backup, os.DirFS(dir)))
	for range all {
		must(t, next(t, source).Ack(t.Context()))
	}
	server.Shutdown()
	must(t, os.RemoveAll(dir))
	must(t, os.CopyFS(dir, os.DirFS(backup)))
	server.Restart()
	eventually(t, func() bool { return c.Healthy(t.Context()) == nil }, func() string { return "no connection" })

	done := func(batch int) bool { return batch%3 != 1 } // of those that were held, and of the others
	for batch := range all {
		if !done(batch) {
			continue
		}
		work, found, err := c.FindWork(t.Context(), "r", batch)
		if must(t, err); !found {
			t.Fatalf("batch %d did not come back", batch)
		}
		must(t, c.RemoveWork(t.Context(), "r", batch, work.Sequence))
	}
	for range all / 3 {
		d := next(t, source)
		if done(d.Body.Batch) {
			t.Errorf("batch %d is handed out although it was taken off", d.Body.Batch)
		}
		must(t, d.Ack(t.Context()))
	}
	depthIs(t, c, "r", pipeline.StreamDepth{})
}
