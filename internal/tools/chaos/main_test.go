//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gleaner/internal/outage"
	"gleaner/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A short version of what `task chaos` does with any seed. Its database is one that others use,
// too, so it is cut off and not killed.
func TestNothingIsLostOrDoubledInChaos(t *testing.T) {
	const seed = 7
	uri := storetest.MongoURI(t)
	dir := t.TempDir()
	_, bin, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	logf := func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	s := plan{seed: seed, generations: 600, every: 600 * time.Millisecond, until: 0.9, within: 4 * time.Minute}
	o, err := runSeed(t.Context(), s, setup{dir, bin, uri, nil}, logf)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for _, problem := range o.Problems {
		t.Error(problem)
	}
	if o.Stored == 0 || o.Dead == 0 || o.Stored+o.Dead != s.generations {
		t.Errorf("%d stored and %d dead, want %d together", o.Stored, o.Dead, s.generations)
	}
	if total(o.Faults) < 5 {
		t.Errorf("only %d faults: %v", total(o.Faults), o.Faults)
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
		1: {Seed: 1, OK: true, Stored: 5, tally: &tally{Faults: map[kind]int{"kill sink": 2}, Recovery: []recovery{{"kill sink", 1.5}}}},
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
		if g.OK != w.OK || g.Stored != w.Stored || !cmp.Equal(g.Faults, w.Faults) || !cmp.Equal(g.Recovery, w.Recovery) || !cmp.Equal(g.Problems, w.Problems) {
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
