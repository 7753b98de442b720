//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/ollamasim"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// A tally counts what was done to the plant and how it took it.
type tally struct {
	mu       sync.Mutex
	Faults   map[kind]int `json:"faults"`
	Recovery []recovery   `json:"recoveries"`
	failed   []string     // faults that could not be injected or mended
}

// A recovery is how long it took after a kill until work went on behind the killed process: of a
// consumer until its GPUs got a request again, of everything else until something more was
// stored.
type recovery struct {
	Kind    kind    `json:"kind"`
	Seconds float64 `json:"seconds"`
}

// strike injects the faults at their times, each mended after its time, until all are over or ctx
// ends. All are mended when it returns.
func (p *plant) strike(ctx context.Context, faults []fault, t *tally, stored func() int, say func(string, ...any)) {
	began := time.Now()
	var striking sync.WaitGroup
	defer striking.Wait()
	for _, f := range faults {
		if !pause(ctx, time.Until(began.Add(f.at))) {
			return
		}
		t.mu.Lock()
		t.Faults[f.kind]++
		t.mu.Unlock()
		say("%5.1fs %s: %s for %s", time.Since(began).Seconds(), f.kind, f.target, f.lasts.Round(10*time.Millisecond))
		striking.Go(func() {
			if err := p.inject(ctx, f, t, stored); err != nil {
				t.mu.Lock()
				defer t.mu.Unlock()
				t.failed = append(t.failed, fmt.Sprintf("%s: %s: %v", f.kind, f.target, err))
			}
		})
	}
}

// inject injects one fault and mends it.
func (p *plant) inject(ctx context.Context, f fault, t *tally, stored func() int) error {
	verb, what, _ := strings.Cut(string(f.kind), " ")
	switch {
	case strings.HasSuffix(what, "connection"):
		return p.network(ctx, f, verb)
	case strings.HasPrefix(string(f.kind), "ollama"):
		p.ollama(f.target).inject(requestFault(f))
		return nil
	case what == "ollama":
		o := p.ollama(f.target)
		o.stop()
		pause(ctx, f.lasts)
		return o.start()
	case what == "stream" || what == "durable":
		return p.streams(ctx, f)
	case what == "run":
		return p.pauseRun(ctx, f)
	case what == "redrive" || verb == "redrive":
		_, _, err := p.once(ctx, "operator", f.lasts, "producer", "dead", "redrive", "--run", run, "--json")
		return quiet(ctx, err)
	case what == "database":
		return p.strikeDatabase(ctx, f, t, verb, stored)
	}
	return p.strikeProcess(ctx, f, t, verb, stored)
}

func (p *plant) strikeProcess(ctx context.Context, f fault, t *tally, verb string, stored func() int) error {
	victim := p.programs[f.target]
	if f.target == "nats" {
		victim = p.nats
	}
	struck := time.Now()
	switch verb {
	case "stop":
		victim.signal(syscall.SIGSTOP)
		pause(ctx, f.lasts)
		victim.signal(syscall.SIGCONT)
		return nil
	case "restart":
		victim.down(syscall.SIGTERM, 40*time.Second)
	default:
		victim.down(syscall.SIGKILL, time.Minute)
	}
	if verb == "empty" {
		if err := os.RemoveAll(p.natsDir()); err != nil {
			return err
		}
	}
	pause(ctx, f.lasts)
	done := stored
	if strings.HasPrefix(f.target, "consumer") {
		done = func() int { return p.requests(f.target) }
	}
	before := done()
	victim.up()
	if verb == "kill" {
		t.await(ctx, f.kind, struck, func() bool { return done() > before })
	}
	return nil
}

func (p *plant) strikeDatabase(ctx context.Context, f fault, t *tally, verb string, stored func() int) error {
	struck := time.Now()
	if verb == "stop" {
		p.database.signal(context.WithoutCancel(ctx), syscall.SIGSTOP)
		pause(ctx, f.lasts)
		p.database.signal(context.WithoutCancel(ctx), syscall.SIGCONT)
		return nil
	}
	p.database.signal(context.WithoutCancel(ctx), syscall.SIGKILL)
	pause(ctx, f.lasts)
	before := stored()
	if err := p.database.start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	t.await(ctx, f.kind, struck, func() bool { return stored() > before })
	return nil
}

// await notes how long it took since the fault until it is so. Where the run ends before, nothing
// is noted.
func (t *tally) await(ctx context.Context, k kind, struck time.Time, so func() bool) {
	for !so() {
		if !pause(ctx, 20*time.Millisecond) {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Recovery = append(t.Recovery, recovery{k, time.Since(struck).Seconds()})
}

func (p *plant) network(ctx context.Context, f fault, verb string) error {
	way := p.toNATS[f.target]
	if strings.Contains(string(f.kind), "store") {
		way = p.toStore[f.target]
	}
	if way == nil {
		return nil // a file
	}
	switch verb {
	case "cut":
		way.Cut()
	case "stall":
		way.Stall()
		pause(ctx, f.lasts)
		way.Resume()
	case "delay":
		way.Delay(time.Duration(50*f.count) * time.Millisecond)
		pause(ctx, f.lasts)
		way.Delay(0)
	}
	return nil
}

func (p *plant) ollama(target string) *ollama {
	var i int
	if _, err := fmt.Sscanf(target, "ollama-%d", &i); err != nil {
		panic(err) // the schedule is wrong
	}
	return p.ollamas[i-1]
}

// requestFault returns what strikes the next requests. It leaves the items alone that go wrong of
// themselves.
func requestFault(f fault) ollamasim.Fault {
	ordinary := func(prompt string) bool {
		for word := range specials() {
			if strings.Contains(prompt, word) {
				return false
			}
		}
		return true
	}
	fault := ollamasim.Fault{Count: f.count, After: 3 * f.count, Match: ordinary}
	switch f.kind {
	case "ollama hangs":
		fault.Kind = ollamasim.Hang
	case "ollama crashes":
		fault.Kind, fault.Count = ollamasim.Crash, 1
	case "ollama answers 500":
		fault.Kind = ollamasim.Fail
	case "ollama answers 503":
		fault.Kind = ollamasim.Busy
	case "ollama cuts streams":
		fault.Kind = ollamasim.Cut
	default:
		fault.Kind = ollamasim.Refuse
	}
	return fault
}

// streams does something to a stream or a durable, from outside of all programs.
func (p *plant) streams(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, f.lasts+10*time.Second)
	defer cancel()
	switch f.target {
	case "durable-run":
		return quiet(ctx, p.js.DeleteConsumer(ctx, stream.WorkStream, run))
	case "durable-sink":
		return quiet(ctx, p.js.DeleteConsumer(ctx, stream.ResultsStream, "sink"))
	case "durable-mirror":
		return quiet(ctx, p.js.DeleteConsumer(ctx, stream.DeadStream, "mirror"))
	}
	name := map[string]string{"stream-work": stream.WorkStream, "stream-results": stream.ResultsStream, "stream-dead": stream.DeadStream}[f.target]
	if f.kind == "delete stream" {
		return quiet(ctx, p.js.DeleteStream(ctx, name))
	}
	s, err := p.js.Stream(ctx, name)
	if err != nil {
		return quiet(ctx, err)
	}
	if f.kind == "purge stream" {
		return quiet(ctx, s.Purge(ctx))
	}
	return quiet(ctx, p.fill(ctx, s, f.lasts))
}

// fill makes a stream as small as what it holds, and later as large as it was.
func (p *plant) fill(ctx context.Context, s jetstream.Stream, lasts time.Duration) error {
	info := s.CachedInfo()
	small := info.Config
	small.MaxBytes = int64(info.State.Bytes) + 1
	if _, err := p.js.UpdateStream(ctx, small); err != nil {
		return err
	}
	pause(ctx, lasts)
	// It has to be mended, whatever happens to the server meanwhile. A stream that is gone comes
	// back as it was.
	mending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for {
		_, err := p.js.UpdateStream(mending, info.Config)
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if !pause(mending, 200*time.Millisecond) {
			return err
		}
	}
}

func (p *plant) pauseRun(ctx context.Context, f fault) error {
	s, err := p.js.Stream(ctx, stream.WorkStream)
	if err != nil {
		return quiet(ctx, err)
	}
	if _, err := s.PauseConsumer(ctx, run, time.Now().Add(f.lasts)); err != nil { // it ends by itself
		return quiet(ctx, err)
	}
	pause(ctx, f.lasts)
	return nil
}

// quiet drops the errors of a fault that finds nothing to strike, because another one is there
// already.
func quiet(ctx context.Context, err error) error {
	for _, nothing := range []error{
		jetstream.ErrStreamNotFound, jetstream.ErrConsumerNotFound, context.DeadlineExceeded, context.Canceled, pipeline.ErrNoRun,
	} {
		if errors.Is(err, nothing) {
			return nil
		}
	}
	if ctx.Err() != nil || err != nil && strings.Contains(err.Error(), "no responders") || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return nil
	}
	return err
}

func isNoRun(err error) bool { return errors.Is(err, pipeline.ErrNoRun) }

// pause waits for d and reports whether ctx was still alive then.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
