//go:build unix

package local_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/cli/processtest"
	"gleaner/internal/faultproxy"
	"gleaner/internal/natsd"
	"gleaner/internal/ollamasim"
	"gleaner/internal/ollamasim/simtest"
	"gleaner/internal/outage"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

const awayRows = 48

// NATS or MongoDB away for a while in any phase of any program that runs for long ends none of
// them. Each says so once, and once more when it is over, and every answer is stored once.
func TestEveryPhaseOutlastsAServerThatIsAway(t *testing.T) {
	t.Parallel()
	built := build(t, "")
	for _, server := range []string{"NATS", "MongoDB"} {
		for length, phases := range map[time.Duration][]string{
			300 * time.Millisecond: {"starting", "waiting for a run", "beginning to publish", "listing runs", "working", "draining", "ending", "stopping"},
			2 * time.Second:        {"starting", "waiting for a run", "beginning to publish", "listing runs", "working", "draining", "ending", "stopping"},
			8 * time.Second:        {"working", "ending"}, // so that it stays short
			11 * time.Second:       {"starting"},          // after ten seconds they say what to check
		} {
			t.Run(fmt.Sprintf("%s for %s", server, length), func(t *testing.T) {
				t.Parallel()
				startAway(t, *built, server, length, phases).all()
			})
		}
	}
}

// An away is a run on processes with a server that goes away for a while, again and again.
type away struct {
	*programs
	server  string
	length  time.Duration
	phases  []string // in which it goes away
	config  natsd.Config
	nats    *natsd.Server
	mongo   *faultproxy.Proxy
	store   store.Store // reached without the proxy
	ollama  string
	running []*awayProgram
}

// An awayProgram is a program that runs for long.
type awayProgram struct {
	*processtest.Process
	name  string
	heard int // bytes of what it said before the present phase
}

func startAway(t *testing.T, p programs, server string, length time.Duration, phases []string) *away {
	t.Helper()
	p.t, p.uri = t, storetest.MongoURI(t)
	a := &away{programs: &p, server: server, length: length, phases: phases, config: natsd.Config{Dir: t.TempDir(), Port: -1}}
	var err error
	if a.nats, err = natsd.Start(a.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.nats.Shutdown() })
	a.config.Port = port(t, a.nats.URL())
	if a.mongo, err = faultproxy.Start(address(t, p.uri)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.mongo.Close)
	if a.store, err = store.Open(t.Context(), p.uri); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.store.Close() }) // it is only read
	_, a.ollama = simtest.Start(t, ollamasim.Config{
		Models: []string{"sim"}, TokensPerSecond: func(int) float64 { return 40 }, Lengths: func(string, int) int { return 20 },
	})
	proxied := strings.Replace(p.uri, address(t, p.uri), a.mongo.Addr(), 1)
	p.env = append(slices.Clone(p.env), "NATS_URL="+a.nats.URL(), "MONGODB_URI="+proxied, "XDG_STATE_HOME="+t.TempDir())
	return a
}

// all goes through the phases of a run.
func (a *away) all() {
	a.load()
	back := a.leaves("starting")
	sink := a.program("sink", "serve", "--flush-every", "50ms", "--lease", "3s")
	worker := a.worker("--run", "r")
	back()
	a.phase("starting", func() bool {
		return sink.says("waiting for the streams of this store") && worker.says("waiting for the run")
	})
	if a.length > 10*time.Second {
		for _, p := range a.running {
			if (p == sink || a.server == "NATS") && !p.says("check the address") {
				a.t.Errorf("%s does not say what to check while %s is away: %s", p.name, a.server, p.Said())
			}
		}
	}

	a.leaves("waiting for a run")()
	a.phase("waiting for a run", func() bool { return true })
	back = a.leaves("beginning to publish")
	publish := a.program("producer", "publish", "--run", "r", "--follow", "--lease", "3s")
	back()
	a.phase("beginning to publish", func() bool { return a.stored() > 0 })

	listing := a.lists()
	a.phase("listing runs", func() bool { return listing.says("taking work") })

	back = a.leaves("working")
	before := a.stored()
	back()
	a.phase("working", func() bool { return a.stored() >= min(before+4, awayRows) })

	back = a.leaves("draining")
	a.check(worker.Cmd.Process.Signal(syscall.SIGTERM))
	back()
	a.phase("draining", func() bool { return worker.ends() && a.stored() == awayRows })

	a.leaves("ending")()
	a.phase("ending", publish.ends)

	back = a.leaves("stopping")
	for _, p := range []*awayProgram{sink, listing} { // the consumer is without work
		a.check(p.Cmd.Process.Signal(syscall.SIGTERM))
	}
	back()
	a.phase("stopping", func() bool { return sink.ends() && listing.ends() })
	a.account()
}

func (a *away) load() {
	a.t.Helper()
	input := writeRows(a.t, awayRows, func(i int) string { return goodOrBad(i, false) })
	a.run("producer", "load", "--run", "r", "--input", input, "--field", "question", "--simulate", "--model", "sim", "--batch", "2")
}

// beforeNATS returns a network that carries connections to the NATS server.
func (a *away) beforeNATS() *faultproxy.Proxy {
	a.t.Helper()
	network, err := faultproxy.Start(address(a.t, a.nats.URL()))
	a.check(err)
	a.t.Cleanup(network.Close)
	return network
}

// lists starts a consumer that has to find its run, by a list that it asks for and that does not
// come for a while.
func (a *away) lists() *awayProgram {
	a.t.Helper()
	network := a.beforeNATS()
	if a.server == "NATS" && slices.Contains(a.phases, "listing runs") {
		network.StallAfter(1200) // it is connected then
		ctx := a.t.Context()
		go func() { // its length counts from when it begins, however long the program takes until then
			for !network.Stalled() && outage.Sleep(ctx, time.Millisecond) == nil {
			}
			if outage.Sleep(ctx, a.length) == nil {
				network.Resume()
			}
		}()
	}
	env := a.env
	a.env = append(slices.Clone(env), "NATS_URL=nats://"+network.Addr())
	defer func() { a.env = env }()
	return a.worker("--stay")
}

// leaves takes the server away if this is one of the phases in which that happens. It returns what
// brings it back when its time is over.
func (a *away) leaves(phase string) (comesBack func()) {
	a.t.Helper()
	for _, p := range a.running {
		p.heard = len(p.Said())
	}
	if !slices.Contains(a.phases, phase) {
		return func() {}
	}
	over := time.After(a.length)
	if a.server == "NATS" {
		a.nats.Shutdown()
	} else {
		a.mongo.Stall()
		a.mongo.Cut()
	}
	return func() {
		a.t.Helper()
		<-over
		if a.server == "MongoDB" {
			a.mongo.Resume()
			return
		}
		var err error
		a.nats, err = natsd.Start(a.config)
		a.check(err)
	}
}

// phase waits until all works again, and checks what the programs said since the server went away.
func (a *away) phase(name string, works func() bool) {
	a.t.Helper()
	began := time.Now()
	eventually(a.t, func() bool {
		return works() && !slices.ContainsFunc(a.running, func(p *awayProgram) bool { return !p.ended() && p.warnings() > p.recoveries() })
	}, func() string { return name + ": it does not work again\n" + a.said() })
	if slices.Contains(a.phases, name) {
		a.t.Logf("%s, %s away for %s: at work again after %.1f s", name, a.server, a.length, time.Since(began).Seconds())
	}
	for _, p := range a.running {
		if w, r := p.warnings(), p.recoveries(); w > 1 || r > w || r < w && !p.ended() {
			a.t.Errorf("%s, %s away for %s: %s says so %d times, and %d times that it is over:\n%s", name, a.server, a.length, p.name, w, r, p.Said()[p.heard:])
		}
	}
}

// account checks how the programs ended, and that every answer is stored once.
func (a *away) account() {
	a.t.Helper()
	for _, p := range a.running {
		if code := p.Wait(); code != 0 {
			a.t.Errorf("%s ended with %d:\n%s", p.name, code, p.Said())
		}
	}
	var account struct{ Total, Stored, Lost, Outstanding, Leftover int }
	a.check(json.Unmarshal(a.run("producer", "audit", "--run", "r", "--json"), &account))
	if account.Total != awayRows || account.Stored != awayRows || account.Lost+account.Outstanding+account.Leftover != 0 {
		a.t.Errorf("the audit says %+v", account)
	}
	// Of what the store wrote without its answer coming back the sink cannot know that it is new.
	if sink := a.running[0]; a.server == "NATS" && !sink.says(fmt.Sprintf("stored=%d", awayRows)) {
		a.t.Errorf("the sink stored others than %d answers:\n%s", awayRows, sink.Said())
	}
}

func (a *away) program(name string, args ...string) *awayProgram {
	a.t.Helper()
	p := &awayProgram{Process: a.start(name, args...), name: name}
	a.running = append(a.running, p)
	return p
}

func (a *away) worker(args ...string) *awayProgram {
	a.t.Helper()
	return a.program("consumer", append(args, "--ollama", a.ollama, "--slots", "4")...)
}

func (a *away) stored() int {
	a.t.Helper()
	progress, err := a.store.Progress(a.t.Context(), "r", time.Now())
	a.check(err)
	return progress.Stored
}

func (a *away) check(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *away) said() string {
	var all strings.Builder
	for _, p := range a.running {
		fmt.Fprintf(&all, "%s:\n%s\n", p.name, p.Said())
	}
	return all.String()
}

func (p *awayProgram) says(text string) bool { return strings.Contains(p.Said(), text) }

// ends waits for the program to end. It may be called again.
func (p *awayProgram) ends() bool { return p.ended() || p.Wait() >= 0 }

func (p *awayProgram) ended() bool { return p.Cmd.ProcessState != nil }

// warnings counts how often it said in this phase that something is away.
func (p *awayProgram) warnings() int { return strings.Count(p.Said()[p.heard:], " WARN ") }

// recoveries counts how often it said that something is there again.
func (p *awayProgram) recoveries() (n int) {
	for _, back := range []string{" again", " now", " goes on"} {
		for line := range strings.Lines(p.Said()[p.heard:]) {
			if strings.Contains(line, " INFO ") && strings.Contains(line, back) {
				n++
			}
		}
	}
	return n
}
