package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gleaner/internal/pipeline"
)

// locationIs checks on which of the two streams a batch is.
func locationIs(t testing.TB, c *Conn, batch int, work, results bool) {
	t.Helper()
	inWork, err := c.InWork(t.Context(), "r", batch)
	must(t, err)
	inResults, err := c.InResults(t.Context(), "r", batch)
	must(t, err)
	if inWork != work || inResults != results {
		t.Errorf("batch %d: on WORK %v, on RESULTS %v; want %v, %v", batch, inWork, inResults, work, results)
	}
}

func TestBatchIsFoundWhereItIs(t *testing.T) {
	c := ready(t, Config{})
	locationIs(t, c, 1, false, false)
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	must(t, c.EnsureRun(t.Context(), testRun("r2")))
	must(t, c.Publish(t.Context(), testWork("r2", 2)))
	must(t, c.PublishResults(t.Context(), testResults("r2", 2, "x")))
	locationIs(t, c, 1, true, false)
	locationIs(t, c, 2, false, false)
	locationIs(t, c, 10, false, false)
	d := next(t, c.Work("r"))
	locationIs(t, c, 1, true, false) // a worker holds it
	must(t, c.PublishResults(t.Context(), testResults("r", 1, noise(512<<10), noise(512<<10), noise(512<<10))))
	locationIs(t, c, 1, true, true)
	must(t, d.Ack(t.Context()))
	locationIs(t, c, 1, false, true)
	eventually(t, func() bool { // it came in several messages
		results, err := c.Results(t.Context(), 1, 100*time.Millisecond)
		must(t, err)
		for _, d := range results {
			if d.Body.Run == "r" {
				locationIs(t, c, 1, false, true) // a sink holds it
			}
			must(t, d.Ack(t.Context()))
		}
		is, err := c.InResults(t.Context(), "r", 1)
		return err == nil && !is
	}, func() string { return "it is still there" })
	if _, err := c.InWork(t.Context(), "no.run", 1); err == nil {
		t.Error("a name with a dot is taken")
	}
}

func TestPausedRunDeliversNothingAndTakesAcks(t *testing.T) {
	t.Parallel()
	server := serve(t)
	c := ready(t, Config{URL: server.URL()})
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	must(t, c.Publish(t.Context(), testWork("r", 2)))
	held := next(t, c.Work("r"))
	must(t, c.PauseRun(t.Context(), testRun("r")))
	must(t, c.PauseRun(t.Context(), testRun("r")))
	must(t, c.EnsureRun(t.Context(), testRun("r"))) // a producer that starts changes nothing
	server.Restart()                                // and neither does a restart
	eventually(t, func() bool { return c.Healthy(t.Context()) == nil }, func() string { return "no reconnect" })
	info, err := c.RunInfo(t.Context(), "r")
	must(t, err)
	if !info.Paused {
		t.Error("it is not paused")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	source := c.Work("r")
	if d, err := source.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", d.Subject, err)
	}
	must(t, held.Extend(t.Context()))
	must(t, held.Ack(t.Context()))
	depthIs(t, c, "r", pipeline.StreamDepth{Waiting: 1})
	must(t, c.ResumeRun(t.Context(), "r"))
	must(t, c.ResumeRun(t.Context(), "r"))
	if d := next(t, c.Work("r")); d.Body.Batch != 2 {
		t.Errorf("batch %d", d.Body.Batch)
	}
	info, err = c.RunInfo(t.Context(), "r")
	must(t, err)
	if info.Paused {
		t.Error("it is still paused")
	}
	for _, err := range []error{c.PauseRun(t.Context(), testRun("unknown")), c.ResumeRun(t.Context(), "unknown")} {
		if !errors.Is(err, pipeline.ErrNoRun) {
			t.Error(err)
		}
	}
}

// A process that creates a lost run again leaves it as it was last seen: what a person has stopped
// does not go on by itself.
func TestARunThatIsLostAndMadeAgainIsStillPaused(t *testing.T) {
	server := serve(t)
	c, js := ready(t, Config{URL: server.URL()}), admin(t, server.URL())
	for _, paused := range []bool{true, false} {
		if paused {
			must(t, c.PauseRun(t.Context(), testRun("r")))
		} else {
			must(t, c.ResumeRun(t.Context(), "r"))
		}
		must(t, c.EnsureRun(t.Context(), testRun("r"))) // as a reconciler does in each pass
		must(t, js.DeleteStream(t.Context(), WorkStream))
		must(t, c.EnsureRun(t.Context(), testRun("r")))
		info, err := c.RunInfo(t.Context(), "r")
		must(t, err)
		if info.Paused != paused {
			t.Errorf("paused: %t, want %t", info.Paused, paused)
		}
	}
}

// The store is right about each pause that it knows, whatever was interrupted between the two. A
// pause of an earlier version is in the queue alone, and stays.
func TestTheQueueIsPausedAsTheStoreSays(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	run := testRun("r")
	since := time.Date(2026, 3, 1, 7, 30, 0, 123e6, time.UTC)
	paused, ended, again := run, run, run
	paused.Pause = &pipeline.RunPause{Since: since}
	ended.Pause = &pipeline.RunPause{Since: since, Ended: since.Add(time.Hour)}
	again.Pause = &pipeline.RunPause{Since: since.Add(2 * time.Hour)}
	for i, step := range []struct {
		do     func() error
		paused bool
		as     time.Time
	}{
		{func() error { return c.EnsureRun(t.Context(), paused) }, true, since}, // the process that paused it was killed
		{func() error { return c.EnsureRun(t.Context(), paused) }, true, since},
		{func() error { return c.EnsureRun(t.Context(), run) }, true, since}, // by a process that read it before
		{func() error { return c.EnsureRun(t.Context(), again) }, true, since.Add(2 * time.Hour)},
		{func() error { return c.EnsureRun(t.Context(), ended) }, true, since.Add(2 * time.Hour)}, // the same
		{func() error { return c.EnsureRun(t.Context(), paused) }, true, since},
		{func() error { return c.EnsureRun(t.Context(), ended) }, false, time.Time{}}, // the process that resumed it was killed
		{func() error { return c.PauseRun(t.Context(), run) }, true, time.Time{}},     // an earlier version
		{func() error { return c.EnsureRun(t.Context(), ended) }, true, time.Time{}},
		{func() error { return c.ResumeRun(t.Context(), "r") }, false, time.Time{}},
		{func() error { return c.PauseRun(t.Context(), paused) }, true, since},
	} {
		must(t, step.do())
		eventually(t, func() bool {
			must(t, c.EnsureRun(t.Context(), testRun("r")))
			info, err := c.RunInfo(t.Context(), "r")
			must(t, err)
			return info.Paused == step.paused && info.PausedAs.Equal(step.as)
		}, func() string {
			info, err := c.RunInfo(t.Context(), "r")
			return fmt.Sprintf("step %d: paused %t as %s (%v)", i, info.Paused, info.PausedAs, err)
		})
	}
}

// A run is complete once a process that knows the ledger has said so, and only while nothing is on
// the queue.
func TestCompleteRunIsOpenAgainWithAnyWork(t *testing.T) {
	c := ready(t, Config{})
	is := func(want bool, when string) {
		t.Helper()
		var info pipeline.RunInfo
		var runs []pipeline.RunInfo
		eventually(t, func() bool { // the server counts what is published after it has confirmed it
			var err, listing error
			info, err = c.RunInfo(t.Context(), "r")
			runs, listing = c.Runs(t.Context())
			must(t, errors.Join(err, listing))
			return info.Complete == want && len(runs) == 1 && runs[0].Complete == want
		}, func() string { return fmt.Sprintf("%s: complete %t, in the list %+v", when, info.Complete, runs) })
	}
	is(false, "new")
	must(t, c.CompleteRun(t.Context(), testRun("r")))
	is(true, "marked")
	must(t, c.PauseRun(t.Context(), testRun("r")))
	// By a process that ensured the run before it was marked.
	must(t, c.Publish(t.Context(), testWork("r", 1)))
	is(false, "with a batch that waits")
	must(t, c.ResumeRun(t.Context(), "r"))
	d := next(t, c.Work("r"))
	is(false, "with a batch that is held")
	must(t, d.Ack(t.Context()))
	is(true, "with that done")
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	is(false, "ensured again")
}

func TestCancelledRunLeavesTheQueueAndNoOtherDoes(t *testing.T) {
	t.Parallel()
	c := ready(t, Config{})
	must(t, c.EnsureRun(t.Context(), testRun("r2")))
	for i := range 5 {
		must(t, c.Publish(t.Context(), testWork("r", i)))
		must(t, c.Publish(t.Context(), testWork("r2", i)))
	}
	source := c.Work("r")
	held := next(t, source)
	must(t, c.PublishResults(t.Context(), testResults("r", 9, "x")))
	must(t, c.PublishDeadLetter(t.Context(), testDeadLetter("r", 8, "x")))

	removed, err := c.CancelRun(t.Context(), "r")
	must(t, err)
	if removed != 5 {
		t.Errorf("%d are removed", removed)
	}
	for i := range 5 {
		locationIs(t, c, i, false, false)
	}
	locationIs(t, c, 9, false, true)
	if _, ok, err := c.DeadLetter(t.Context(), "r", 8); !ok || err != nil {
		t.Errorf("the dead letter: %v, %v", ok, err)
	}
	depthIs(t, c, "r2", pipeline.StreamDepth{Waiting: 5})
	if _, err := c.RunInfo(t.Context(), "r"); !errors.Is(err, pipeline.ErrNoRun) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := source.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	must(t, c.PublishResults(t.Context(), testResults("r", held.Body.Batch, "what it still finished")))
	if err := held.Ack(t.Context()); err == nil {
		t.Log("the ack of a batch that is gone is answered")
	}
	for range 2 {
		removed, err = c.CancelRun(t.Context(), "r")
		if removed != 0 || err != nil {
			t.Errorf("again: %d, %v", removed, err)
		}
	}
	must(t, c.EnsureRun(t.Context(), testRun("r")))
	must(t, c.Publish(t.Context(), testWork("r", 3)))
	if d := next(t, c.Work("r")); d.Body.Batch != 3 {
		t.Errorf("batch %d", d.Body.Batch)
	}
}

func TestCancelOnAServerWithoutStreamsIsNoError(t *testing.T) {
	c := connect(t, Config{URL: serve(t).URL()})
	if removed, err := c.CancelRun(t.Context(), "r"); removed != 0 || err != nil {
		t.Errorf("%d, %v", removed, err)
	}
}

// A consumer sees by these before its first batch whether its GPUs can do what the run asks.
func TestConsumersAreToldWhatARunAsksOfAModel(t *testing.T) {
	c := ready(t, Config{URL: serve(t).URL()})
	run := testRun("r")
	info := func() pipeline.RunInfo {
		info, err := c.RunInfo(t.Context(), "r")
		must(t, err)
		return info
	}
	if got := info(); got.NumCtx != 0 || got.Think != "" {
		t.Errorf("nothing is asked, and yet %d, %q", got.NumCtx, got.Think)
	}
	run.Spec.Options.NumCtx, run.Spec.Options.Think = 8192, pipeline.ThinkLow
	must(t, c.EnsureRun(t.Context(), run))
	if got := info(); got.NumCtx != 8192 || got.Think != pipeline.ThinkLow {
		t.Errorf("context %d, think %q", got.NumCtx, got.Think)
	}
	run.Spec.Options.Think = pipeline.ThinkAuto
	must(t, c.EnsureRun(t.Context(), run))
	if got := info(); got.Think.IsAsked() {
		t.Errorf("think %q", got.Think)
	}
}
