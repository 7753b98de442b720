package local_test

import (
	"path/filepath"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// A run that a person has paused says so, with the command that lets it go on, and does not look
// stuck. One that its failures paused goes on with the same command.
func TestAPausedRunSaysWhyItWaits(t *testing.T) {
	p := build(t, "")
	data := filepath.Join(t.TempDir(), "data")
	run := func(args ...string) []string {
		return append([]string{"run", "--simulate", "--sim-speed", "5", "--run", "words", "--data", data, "--log-level", "debug"}, args...)
	}
	working := p.start("gleaner", run()...)
	working.WaitFor("the run is pinned")
	ledger, err := store.Open(t.Context(), "sqlite:"+filepath.Join(data, "gleaner.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	pause := func(cause pipeline.PauseCause, reason string) pipeline.Run {
		t.Helper()
		words, err := ledger.Run(t.Context(), "words")
		if err == nil {
			err = ledger.Pause(t.Context(), "words", words.UID, pipeline.RunPause{Since: time.Now(), Cause: cause, Reason: reason})
		}
		if err != nil {
			t.Fatal(err)
		}
		return words
	}
	words := pause(pipeline.PausedByPerson, "the GPU is needed")
	working.WaitFor("paused: the GPU is needed (`")
	_ = working.Cmd.Process.Kill()
	working.Wait()

	again := p.start("gleaner", run()...)
	again.WaitFor("paused: the GPU is needed (`")
	if err := ledger.Resume(t.Context(), "words", words.UID, time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		before, _ := ledger.Progress(t.Context(), "words", time.Now())
		return before.Stored > 16 // what was in hand when it was paused is less
	}, func() string { return "it does not go on:\n" + again.Said() })
	pause(pipeline.PausedByFailures, "the first 20 failed")
	again.WaitFor("paused: the first 20 failed")
	_ = again.Cmd.Process.Kill()
	again.Wait()

	if code := p.start("gleaner", run("--sim-speed", "1000")...).Wait(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
