package local_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// serveAnEarlierRun lets gleaner serve finish what an earlier version began and paused. It paused a
// run on the queue alone, so the store does not know it.
func serveAnEarlierRun(v *versions) {
	prompts := make([]string, begunRows)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("A %s question, number %04d?", []string{"long", "good"}[min(i%longEvery, 1)], i)
	}
	v.earlier.run("producer", v.load(v.writePrompts(prompts), "--samples", fmt.Sprint(begunSamples))...)
	before := v.record(ollamasim.Config{TokensPerSecond: func(int) float64 { return 200 }})
	v.begin(before)
	v.earlier.run("producer", "pause", "--run", v.run)

	after := v.record(ollamasim.Config{Instant: true})
	serve := v.present.start("gleaner", "serve", "--flush-every", "100ms", "--lease", "2s", "--report", "1s")
	serve.WaitFor("paused (`gleaner resume --run " + v.run + "` lets it go on)")
	consumer := v.present.start("gleaner", "work", "--run", v.run, "--ollama", after.url)
	consumer.WaitFor("no batches: the run is paused")
	v.store = v.open(v.earlier.uri)
	run, err := v.store.Run(v.t.Context(), v.run)
	v.must(err)
	if asked := len(after.asked()); asked > 0 || !run.Paused() {
		v.t.Errorf("%d conversations were generated of a run that is paused; in the store it is %+v", asked, run.Pause)
	}

	v.present.run("gleaner", "resume", "--run", v.run)
	const dead = begunRows / longEvery * begunSamples
	var progress pipeline.Progress
	eventually(v.t, func() bool {
		progress, err = v.store.Progress(v.t.Context(), v.run, run.CreatedAt)
		v.must(err)
		return progress.Complete()
	}, func() string { return fmt.Sprintf("the run came to %+v:\n%s", progress, serve.Said()) })
	if progress.Failed != dead {
		v.t.Errorf("%d generations failed, want %d", progress.Failed, dead)
	}
	v.present.run("gleaner", "dead", "redrive", "--run", v.run, "--num-predict", "400")
	consumer.Ends(0) // it is told that the run is complete
	serve.Stops()
	v.checkAnswers(prompts, begunSamples, true)
	v.checkRequests(prompts, begunSamples, before, after)
	if printed := serve.Out.String(); !strings.Contains(printed, "run "+v.run+": complete; 1,200 of 1,200 generations done") {
		v.t.Errorf("it printed %q", printed)
	}
}

// goOnWithAKilledRun kills gleaner run of an earlier version, and gives the same command to this
// one.
func goOnWithAKilledRun(v *versions) {
	const rows = 200
	prompts := make([]string, rows)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("A good question, number %04d?", i)
	}
	data := filepath.Join(v.t.TempDir(), "data")
	args := []string{"run", "--simulate", "--run", v.run, "--input", v.writePrompts(prompts), "--field", "q", "--data", data, "--sim-speed", "100", "--json"}
	v.earlier.uri = "sqlite:" + filepath.Join(data, "gleaner.db") // for peek
	killed := v.earlier.start("gleaner", args...)
	stored := map[string]string{}
	eventually(v.t, func() bool {
		_ = v.peek(func(s store.Store) error { // it may not be there yet
			if _, err := s.Run(v.t.Context(), v.run); err != nil {
				return err
			}
			stored = answersOf(v.t, s, v.run)
			return nil
		})
		return len(stored) >= 10
	}, func() string { return "the earlier one stores nothing:\n" + killed.Said() })
	v.must(killed.Cmd.Process.Kill())
	killed.Wait()

	var summary struct{ Stored, Generated int }
	v.must(json.Unmarshal(v.present.run("gleaner", args...), &summary))
	if summary.Stored != rows || summary.Generated > rows-len(stored) {
		v.t.Errorf("%d answers were stored when it was killed, and then %+v", len(stored), summary)
	}
	now := answersOf(v.t, v.open(v.earlier.uri), v.run)
	for id, answer := range stored {
		if now[id] != answer {
			v.t.Errorf("%s was %q, and is %q", id, answer, now[id])
		}
	}
}
