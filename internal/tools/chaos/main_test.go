//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortly returns a little of everything that `task chaos` does, within seconds.
func shortly(seed int64) plan {
	const s = time.Second
	quick := slices.DeleteFunc(specials(), func(s special) bool { // what takes long until it is given up
		return s.word == "hanging" || s.class == pipeline.Truncated || s.class == pipeline.Unanswered && s.word != "failing"
	})
	return plan{
		seed: seed, generations: 300, special: quick, until: 0.9, within: 4 * time.Minute,
		faults: []fault{
			{at: s, kind: "kill sink", target: "sink-2", lasts: s / 2},
			{at: s, kind: "freeze nats connection", target: "consumer-1"},
			{at: 2 * s, kind: "freeze store connection", target: "sink-1"},
			{at: 2 * s, kind: "start othersink", target: otherSink},
			{at: 3 * s, kind: "restart nats", target: natsTarget},
			{at: 4 * s, kind: "kill programs", target: allPrograms},
		},
		moments: []moment{
			{phase: waiting, target: natsTarget, share: -1, lasts: 300 * time.Millisecond},
			{phase: reloads, share: 0.05},
			{phase: working, target: databaseTarget, share: 0.2, lasts: 300 * time.Millisecond},
		},
	}
}

// A short version of what `task chaos` does with any seed. Its database is one that others use,
// too, so it is cut off and not killed.
func TestNothingIsLostOrDoubledInChaos(t *testing.T) {
	const seed = 7
	uri := storetest.MongoURI(t)
	dir := t.TempDir()
	root, bin, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	var saying sync.Mutex
	logf := func(format string, args ...any) {
		saying.Lock()
		defer saying.Unlock()
		fmt.Fprintf(&said, format+"\n", args...)
	}
	s := shortly(seed)
	o, err := runSeed(t.Context(), s, setup{dir, root, bin, uri, nil}, logf)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for _, problem := range o.Problems {
		t.Error(problem)
	}
	if o.Stored == 0 || o.Dead == 0 || o.Stored+o.Dead != s.generations {
		t.Errorf("%d stored and %d dead, want %d together", o.Stored, o.Dead, s.generations)
	}
	if o.Forgeries == 0 || o.Faults[kind(reloads)] != 1 || total(o.Faults) < 5 {
		t.Errorf("only %d forgeries and %d faults: %v", o.Forgeries, total(o.Faults), o.Faults)
	}
	if t.Failed() {
		t.Log(said.String())
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, file := range logs {
			t.Logf("%s ends:\n%s", filepath.Base(file), tail(file))
		}
	}
}

func tail(file string) []byte {
	data, _ := os.ReadFile(file) // it is only logged
	return data[max(0, len(data)-4<<10):]
}

func TestAScheduleFollowsFromItsSeedAlone(t *testing.T) {
	const every, count = time.Second, 40
	kinds := map[kind]bool{}
	for seed := range int64(200) {
		faults := schedule(seed, every, count, true)
		if diff := cmp.Diff(faults, schedule(seed, every, count, true), cmp.AllowUnexported(fault{})); diff != "" {
			t.Fatalf("seed %d has two schedules: %s", seed, diff)
		}
		if len(faults) < count/2 {
			t.Errorf("seed %d has %d faults only", seed, len(faults))
		}
		mended := map[string]time.Duration{}
		for _, f := range faults {
			kinds[f.kind] = true
			if f.at < mended[f.scope()] || f.at < settling && f.at != 0 || f.at > settling+every*count {
				t.Errorf("seed %d has a fault of %s at %s, and it is mended at %s", seed, f.target, f.at, mended[f.scope()])
			}
			mended[f.scope()] = f.at + f.lasts
		}
	}
	for _, m := range choices(true) {
		if !kinds[m.kind] {
			t.Errorf("no seed has a fault %q", m.kind)
		}
	}
}

func TestAServerIsAwayInEachPhaseWithSomeSeed(t *testing.T) {
	type away struct {
		phase  phase
		target string
		lasts  time.Duration
	}
	seen, reloaded := map[away]bool{}, 0
	for seed := range int64(200) {
		all := moments(seed)
		if diff := cmp.Diff(all, moments(seed), cmp.AllowUnexported(moment{})); diff != "" {
			t.Fatalf("seed %d has other moments each time: %s", seed, diff)
		}
		last := all[0].share
		for _, m := range all {
			if m.share < last {
				t.Errorf("seed %d goes back to %s", seed, m.phase)
			}
			if last = m.share; m.isReload() {
				reloaded++
				continue
			}
			seen[away{m.phase, m.target, m.lasts}] = true
		}
	}
	for _, p := range outagePhases() {
		for _, lasts := range append(outageLengths(), longOutage) {
			for _, target := range []string{natsTarget, databaseTarget} {
				if !seen[away{p, target, lasts}] {
					t.Errorf("%s is away for %s with no seed: %s", target, lasts, p)
				}
			}
		}
	}
	if reloaded == 0 {
		t.Error("no seed deletes its run")
	}
}

func TestNoForgedTokenIsThatOfItsBatch(t *testing.T) {
	g := newForger(1, "", nil)
	known := pipeline.Run{Name: run, UID: "uid", Key: pipeline.NewKey()}
	for range 1000 {
		batch, round := g.r.IntN(10), 1+g.r.IntN(forgedRounds)
		if known.Key.Admits(g.token(known, batch, round), known.UID, batch, round) {
			t.Fatal("a forged token is a good one")
		}
	}
	of := pipeline.Batch{Run: run, Index: 2, First: 5, Count: 3}
	known.Spec.Samples = 1
	if err := forgedResults(known, of, 1, nil).Validate(); err != nil {
		t.Error(err)
	}
	if err := forgedLetter(known, of, 1, nil).Validate(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsClaimedHasNoFault(t *testing.T) {
	c := claims{busy: map[string]int{}}
	everywhere := fault{target: everything}.touches()
	if !c.begin(everywhere) {
		t.Fatal("nothing was claimed")
	}
	claimed := make(chan error)
	go func() { claimed <- c.claim(t.Context(), natsTarget) }()
	for c.begin([]string{natsTarget}) { // until it is claimed
		c.end([]string{natsTarget})
	}
	select {
	case <-claimed:
		t.Fatal("it was claimed during a fault")
	default:
	}
	c.end(everywhere)
	if err := <-claimed; err != nil {
		t.Fatal(err)
	}
	if c.begin(everywhere) || !c.begin([]string{"sink-1"}) {
		t.Error("a fault goes where it may not, or not where it may")
	}
	c.release()
	if !c.begin(everywhere) {
		t.Error("nothing is claimed any more")
	}
}

func TestARunThatIsDeletedIsForgotten(t *testing.T) {
	w := newWatcher(nil, 10, true)
	defer w.reach()
	enough := func() bool { return w.enough.Err() != nil }
	w.saw(10, w.loads())
	if enough() || w.count() != 10 {
		t.Errorf("%d are stored: enough before the run was loaded again", w.count())
	}
	before := w.loads()
	w.forget()
	w.saw(10, w.loads())
	w.begin()
	w.saw(10, before)
	if enough() || w.count() != 0 {
		t.Errorf("%d are stored of the run that is gone", w.count())
	}
	w.saw(10, w.loads())
	if !enough() {
		t.Error("not enough")
	}
}

func TestSeedsAreReadAsARange(t *testing.T) {
	for text, want := range map[string]int{"1-100": 100, "7-7": 1, "5": 0, "0-3": 0, "9-3": 0, "a-b": 0, "1-": 0} {
		c := command{Seeds: text, Generations: 1, Every: 1, Within: 1}
		seeds, err := c.seeds()
		if len(seeds) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d seeds, want %d (%v)", text, len(seeds), want, err)
		}
	}
}

func TestOutcomesAreReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chaos.jsonl")
	want := map[int64]outcome{
		1: {Seed: 1, OK: true, Stored: 5, losses: losses{Lost: 1, Forged: 2}, tally: &tally{Faults: map[kind]int{"kill sink": 2}, Recovery: []recovery{{"kill sink", 1.5}}}},
		2: {Seed: 2, Problems: []string{"lost"}, tally: &tally{Faults: map[kind]int{}}},
	}
	for _, seed := range []int64{1, 2} {
		if err := writeOutcome(path, want[seed]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readOutcomes(path)
	if err != nil {
		t.Fatal(err)
	}
	for seed, w := range want {
		g := got[seed]
		if g.OK != w.OK || g.Stored != w.Stored || g.losses != w.losses || !cmp.Equal(g.Faults, w.Faults) || !cmp.Equal(g.Recovery, w.Recovery) || !cmp.Equal(g.Problems, w.Problems) {
			t.Errorf("seed %d came back as %+v", seed, g)
		}
	}
}

// All findings depend on the supervisor, so it is tried with a program whose behaviour is known.
func TestAProcessIsKeptRunningAndReportedForEndingByItself(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	running := func(p *process) int {
		p.mu.Lock()
		defer p.mu.Unlock()
		for p.cmd == nil {
			p.changed.Wait()
		}
		return p.starts
	}
	loop := newProcess(processConfig{
		name: "loop", log: log, env: os.Environ(), args: []string{shell, "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done"},
	})
	first := running(loop)
	loop.down(syscall.SIGKILL, time.Minute)
	loop.down(syscall.SIGKILL, time.Minute) // another fault, at the same time
	loop.up()
	if loop.startedAs() != 0 {
		t.Error("it was started while a fault kept it down")
	}
	loop.up()
	if again := running(loop); again != first+1 {
		t.Errorf("it was started %d times, want twice", again)
	}
	loop.down(syscall.SIGSTOP, time.Millisecond) // it does not end because of this: it is killed, and reported
	loop.up()
	running(loop)
	loop.end(syscall.SIGKILL, time.Minute)
	if len(loop.violations) != 1 || !strings.Contains(loop.violations[0], "did not end within") {
		t.Errorf("reported for %q", loop.violations)
	}

	ends := newProcess(processConfig{name: "ends", log: log, env: os.Environ(), done: complete, args: []string{shell, "-c", "exit 3"}})
	<-ends.over
	if ends.final != 3 || ends.violations != nil {
		t.Errorf("ended with %d, reported for %q", ends.final, ends.violations)
	}
	wrong := newProcess(processConfig{name: "wrong", log: log, env: os.Environ(), args: []string{shell, "-c", "exit 2"}})
	running(wrong)
	for wrong.violationCount() == 0 {
		if outage.Sleep(t.Context(), time.Millisecond) != nil {
			t.Fatal("it was not reported")
		}
	}
	wrong.end(syscall.SIGKILL, time.Minute)
}

func (p *process) violationCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.violations)
}
