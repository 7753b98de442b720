//go:build unix

package local_test

import (
	"os"
	"sync/atomic"
	"testing"

	"gleaner/internal/natsd"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
)

// A NATS server that goes back to an earlier state of its disk executes hardly anything again: what
// is done is taken off the queue as soon as the server is there.
func TestARolledBackNATSExecutesHardlyAnythingAgain(t *testing.T) {
	t.Parallel()
	const rows = 200
	a := startAway(t, *build(t, ""), "NATS", 0, nil)
	var executed atomic.Int64
	_, ollama := simtest.Start(t, ollamasim.Config{
		Models: []string{"sim"}, TokensPerSecond: func(int) float64 { return 50 }, Lengths: func(string, int) int { return 10 },
		Watch: func(x ollamasim.Exchange) {
			if x.Done {
				executed.Add(1)
			}
		},
	})
	input := writeRows(t, rows, func(i int) string { return goodOrBad(i, false) })
	a.run("producer", "load", "--run", "r", "--input", input, "--field", "question", "--simulate", "--model", "sim", "--batch", "1")
	sink := a.program("sink", "serve", "--flush-every", "50ms", "--lease", "3s")
	publish := a.program("producer", "publish", "--run", "r", "--follow", "--lease", "2s")
	a.program("consumer", "--run", "r", "--ollama", ollama, "--slots", "2")
	eventually(t, func() bool { return a.stored() > rows/10 }, a.said)
	backup := t.TempDir() // what a copy of the disk holds
	a.check(os.CopyFS(backup, os.DirFS(a.config.Dir)))
	eventually(t, func() bool { return a.stored() > rows*3/4 }, a.said)

	a.nats.Shutdown()
	a.check(os.RemoveAll(a.config.Dir))
	a.check(os.CopyFS(a.config.Dir, os.DirFS(backup)))
	var err error
	a.nats, err = natsd.Start(a.config)
	a.check(err)
	if code := publish.Wait(); code != 0 {
		t.Fatalf("publish ended with %d: %s", code, a.said())
	}
	if !publish.says("took batches off the queue that are at their end") {
		t.Errorf("nothing came back, or it was not taken off the queue:\n%s", a.said())
	}
	ratio := float64(executed.Load()) / rows
	t.Logf("executed over needed: %.3f", ratio)
	if ratio > 1.05 {
		t.Errorf("%d generations were executed for %d\n%s", executed.Load(), rows, a.said())
	}
	sink.Stops()
}
