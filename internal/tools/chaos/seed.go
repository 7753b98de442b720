//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"gleaner/internal/pipeline"
)

// An outcome is what came of one seed: a line of the results' file.
type outcome struct {
	Seed         int64    `json:"seed"`
	OK           bool     `json:"ok"`
	Problems     []string `json:"problems,omitempty"`
	Seconds      float64  `json:"seconds"`
	Generations  int      `json:"generations"`
	Stored       int      `json:"stored"`
	Dead         int      `json:"dead"`
	Answers      int      `json:"answers"`       // that the models completed, for those stored
	FailedStarts int      `json:"failed_starts"` // programs that ended with 1 soon after a start, because a server was away
	*tally
	Folder string `json:"folder,omitempty"` // with the logs, if something was wrong
}

// A row is an item of the run and what has to become of it.
type row struct {
	question string
	class    pipeline.Class // of the dead letter; empty: it has to be stored
}

// A plan is how much happens in the run of a seed.
type plan struct {
	seed        int64
	generations int
	span        time.Duration // in which faults are injected
	faults      int
	within      time.Duration
}

// makeRows makes the items of a seed: sums, and a few that cannot be generated.
func makeRows(seed int64, n int) []row {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	rows := make([]row, n)
	for i := range rows {
		rows[i].question = fmt.Sprintf("What is the sum of %d and %d?", i, r.IntN(1000))
	}
	words := specials()
	names := make([]string, 0, len(words))
	for word := range words {
		names = append(names, word)
	}
	slices.Sort(names)
	for _, word := range names {
		for range 1 + r.IntN(3) {
			i := r.IntN(n)
			if rows[i].class != "" {
				continue
			}
			rows[i].class = words[word]
			rows[i].question += " This is " + word + "."
			if word == "overlong" {
				rows[i].question += longText()
			}
		}
	}
	return rows
}

func longText() string {
	text := make([]byte, 0, 2*(contextLength+100))
	for range contextLength + 100 {
		text = append(text, " a"...)
	}
	return string(text)
}

func writeRows(path string, rows []row) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i, r := range rows {
		line, err := json.Marshal(map[string]any{"n": i, "question": r.question})
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return w.Flush()
}

// runSeed runs everything for one seed. Its error is for what keeps it from being run at all.
func runSeed(ctx context.Context, s plan, on setup, logf func(string, ...any)) (o outcome, err error) {
	o = outcome{Seed: s.seed, Generations: s.generations, tally: &tally{Faults: map[kind]int{}}}
	began := time.Now()
	b, err := newTestbed(ctx, on)
	if err != nil {
		return o, err
	}
	defer func() {
		if b != nil {
			_ = b.close() // it was interrupted; there is an error already
		}
	}()
	within, cancel := context.WithTimeout(ctx, s.within)
	defer cancel()
	f := &findings{}
	rows := makeRows(s.seed, s.generations)
	if err := b.load(within, s.seed, rows); err != nil {
		return o, err
	}
	if err := b.startPrograms(); err != nil {
		return o, err
	}
	w := &watcher{store: b.store}
	b.runWithFaults(within, s, o.tally, w, logf)
	b.finish(within, f, logf)
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	// The checks do not count towards the time that the run has.
	checking, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if within.Err() != nil {
		f.add("the run was not complete within %s", s.within)
	}
	o.Seconds = time.Since(began).Seconds()
	o.Stored, o.Dead = b.check(checking, rows, f)
	if err := w.compare(checking); err != nil {
		f.add("comparing results: %v", err)
	}
	f.problems = append(f.problems, w.changed...)
	o.Answers = b.answers()
	b.endPrograms(f)
	o.FailedStarts = b.checkViolations(f)
	if err := b.close(); err != nil {
		f.add("ending: %v", err)
	}
	b = nil
	for _, process := range leftOver(on.dir) {
		f.add("a process is left: %s", process)
	}
	f.problems = append(f.problems, o.tally.failed...)
	o.Problems, o.OK = f.problems, len(f.problems) == 0
	return o, nil
}

// load loads the run; with every other seed it is killed in the middle first.
func (b *testbed) load(ctx context.Context, seed int64, rows []row) error {
	file := filepath.Join(b.dir, "rows.jsonl")
	if err := writeRows(file, rows); err != nil {
		return err
	}
	args := []string{"load", "--run", run, "--input", file, "--field", "question", "--simulate", "--model", model}
	if r := rand.New(rand.NewPCG(uint64(seed), 2)); r.IntN(2) == 0 {
		if _, _, err := b.runOnce(ctx, "operator", time.Duration(1+r.IntN(400))*time.Millisecond, "producer", args...); err != nil {
			return err
		}
	}
	code, _, err := b.runOnce(ctx, "operator", 0, "producer", args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("producer load ended with %d, see operator.log in %s", code, b.dir)
	}
	return err
}

// runWithFaults injects the faults of a seed until they are over or the run is complete, and waits
// for the producer. All faults are mended when it returns.
func (b *testbed) runWithFaults(ctx context.Context, s plan, t *tally, w *watcher, logf func(string, ...any)) {
	running, end := context.WithCancel(ctx)
	defer end()
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(running) })
	defer watching.Wait()
	go func() {
		select {
		case <-b.programs["producer"].over:
			end()
		case <-running.Done():
		}
	}()
	began := time.Now()
	b.injectAll(running, schedule(s.seed, s.span, s.faults, b.database != nil), t, w.count, logf)
	logf("%5.1fs the faults are over, %d stored", time.Since(began).Seconds(), w.count())
	select {
	case <-b.programs["producer"].over:
	case <-ctx.Done():
	}
	end()
}

// finish follows the run once more, since the last faults may have come after its end, until
// nothing is under way.
func (b *testbed) finish(ctx context.Context, f *findings, logf func(string, ...any)) {
	code, _, err := b.runOnce(ctx, "operator", 0, "producer", "publish", "--run", run, "--follow", "--lease", lease.String())
	if (err != nil || !complete(code)) && ctx.Err() == nil {
		f.add("producer publish --follow ended with %d (%v), want 0 or 3", code, err)
	}
	b.quiesce(ctx)
	logf("the run is complete")
}

// endPrograms stops the programs as a service manager does.
func (b *testbed) endPrograms(f *findings) {
	for name, x := range b.programs {
		if code := x.end(syscall.SIGTERM, 30*time.Second); name != "producer" && code != 0 {
			f.add("%s ended with %d when it was told to stop, want 0", name, code)
		}
	}
}
