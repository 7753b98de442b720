//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	loadKilledWithin = 400 * time.Millisecond // of its start, which is before its end on any machine
	checkWithin      = time.Minute
)

// A plan is how much happens in the run of a seed.
type plan struct {
	seed        int64
	generations int
	special     []special // among the rows
	faults      []fault
	moments     []moment
	until       float64 // the share that is stored when there are no further ones
	within      time.Duration
}

// maxFaults is more than a run within its time can have.
const maxFaults = 1000

// runSeed runs everything for one seed. Its error is for what keeps it from being run at all.
func runSeed(ctx context.Context, s plan, on setup, logf func(string, ...any)) (o outcome, err error) {
	o = outcome{Seed: s.seed, Generations: s.generations, tally: &tally{Faults: map[kind]int{}}}
	began := time.Now()
	b, err := newTestbed(ctx, s.seed, on)
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
	b.special = s.special
	b.rows = makeRows(s.seed, s.generations, s.special)
	if err := b.load(within, s.seed); err != nil {
		return o, err
	}
	if err := b.loadOther(within); err != nil {
		return o, err
	}
	for _, f := range beginning(s.seed) {
		b.change(f)
	}
	b.forger = newForger(s.seed, b.server.url(consumerRole, b.server.addr), b.store)
	w := newWatcher(b.store, int(s.until*float64(s.generations)), slices.ContainsFunc(s.moments, moment.isReload))
	defer w.reach()
	if err := b.runWithFaults(within, s, &o, w, logf); err != nil {
		return o, err
	}
	b.finish(within, f, logf)
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	// The checks do not count towards the time that the run has.
	checking, stop := context.WithTimeout(ctx, checkWithin)
	defer stop()
	if within.Err() != nil {
		f.add("the run was not complete within %s", s.within)
	}
	o.Seconds = time.Since(began).Seconds()
	b.check(checking, &o, f)
	if err := w.compare(checking); err != nil {
		f.add("comparing results: %v", err)
	}
	o.Lost, o.Changed, o.Forgeries = o.Lost+len(w.gone), len(w.changed), b.forger.sent
	f.problems = append(f.problems, slices.Concat(w.gone, w.changed)...)
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
func (b *testbed) load(ctx context.Context, seed int64) error {
	file := filepath.Join(b.dir, "rows.jsonl")
	if err := writeRows(file, b.rows); err != nil {
		return err
	}
	args := loadArgs(run, file)
	if r := rand.New(rand.NewPCG(uint64(seed), 2)); r.IntN(2) == 0 {
		if _, _, err := b.runOnce(ctx, "operator", time.Duration(1+r.IntN(int(loadKilledWithin.Milliseconds())))*time.Millisecond, "producer", args...); err != nil {
			return err
		}
	}
	code, _, err := b.runOnce(ctx, "operator", 0, "producer", args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("producer load ended with %d, see operator.log in %s", code, b.dir)
	}
	return err
}

// runWithFaults starts the programs, injects the faults of a seed until they are over or the run is
// complete, and waits for the producer. All faults are mended when it returns.
func (b *testbed) runWithFaults(ctx context.Context, s plan, o *outcome, w *watcher, logf func(string, ...any)) error {
	running, end := context.WithCancel(ctx)
	defer end()
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(running) })
	defer watching.Wait()
	defer b.beside.Wait()
	defer end()
	if err := b.begin(running, s.moments, o.tally, logf); err != nil {
		return err
	}
	over := b.programs["producer"].over
	var ended time.Time
	go func() {
		select {
		case <-over:
			end()
		case <-running.Done():
		}
	}()
	began := time.Now()
	watching.Go(func() { b.atMoments(running, s.moments, o.tally, w, logf) })
	b.injectAll(running, s.faults, o.tally, w, logf)
	logf("%5.1fs the faults are over, %d stored", time.Since(began).Seconds(), w.count())
	for ended.IsZero() && ctx.Err() == nil && b.late(o.tally) < hopelessFactor*lateAtMost {
		select {
		case <-over:
			ended = time.Now()
		case <-time.After(readEvery):
		case <-ctx.Done():
		}
	}
	o.Late = max(0, b.late(o.tally))
	logf("%5.1fs publish --follow has ended: %v", time.Since(began).Seconds(), !ended.IsZero())
	return nil
}

// late returns the seconds since the last thing was back that the run had to wait for. A row that
// never works is none: its time begins with its first try.
func (b *testbed) late(t *tally) float64 {
	since := b.seen.lastHopeless()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.back.After(since) {
		since = t.back
	}
	return time.Since(since).Seconds()
}

// finish follows the run once more, since the last faults may have come after its end, until
// nothing is under way.
func (b *testbed) finish(ctx context.Context, f *findings, logf func(string, ...any)) {
	code, _, err := b.runOnce(ctx, "operator", 0, "producer", "publish", "--run", run, "--follow", "--max-failures", "off", "--lease", lease.String())
	if (err != nil || !complete(code)) && ctx.Err() == nil {
		f.add("producer publish --follow ended with %d (%v), want 0 or 3", code, err)
	}
	b.quiesce(ctx)
	logf("the run is complete")
}

// endPrograms stops the programs as a service manager does.
func (b *testbed) endPrograms(f *findings) {
	for name, x := range b.programs {
		if code := x.end(syscall.SIGTERM, endWithin); name != "producer" && code != 0 {
			f.add("%s ended with %d when it was told to stop, want 0", name, code)
		}
	}
}
