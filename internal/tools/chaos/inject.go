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
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// How long a change of a stream may take: the server may be down, or stopped, at that moment.
const (
	changeWithin = 10 * time.Second
	mendWithin   = 30 * time.Second // that a stream gets its size back has to succeed
	mendAgain    = 200 * time.Millisecond
)

// delayStep is the least delay of a connection.
const delayStep = 50 * time.Millisecond

// injectAll injects each fault at its time and mends it after its time, until enough is stored, all
// are over, or ctx ends. All are mended when it returns.
func (b *testbed) injectAll(ctx context.Context, faults []fault, t *tally, w *watcher, logf func(string, ...any)) {
	began := time.Now()
	more, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(w.enough, end)()
	var injecting sync.WaitGroup
	injecting.Go(func() { t.fail("forging", b.forger.run(more)) })
	defer func() {
		injecting.Wait()
		for _, o := range b.ollamas {
			o.change(func() {}) // requests that were still to go wrong
		}
		t.restored()
	}()
	for _, f := range faults {
		if outage.Sleep(more, time.Until(began.Add(f.at))) != nil {
			return
		}
		if !b.claims.begin(f.touches()) {
			continue
		}
		t.count(f.kind)
		logf("%5.1fs %s: %s for %s", time.Since(began).Seconds(), f.kind, f.target, f.lasts.Round(10*time.Millisecond))
		injecting.Go(func() {
			defer b.claims.end(f.touches())
			t.fail(f.kind+": "+kind(f.target), b.inject(ctx, f, t, w.count))
		})
	}
}

// inject injects one fault and mends it.
func (b *testbed) inject(ctx context.Context, f fault, t *tally, stored func() int) error {
	verb, what, _ := strings.Cut(string(f.kind), " ")
	switch {
	case f.kind == small || f.kind == brokenFirst || f.kind == "break ollama" || f.kind == "change digest":
		b.change(f)
		if f.lasts > 0 {
			_ = outage.Sleep(ctx, f.lasts)
			b.mend(f)
		}
		return nil
	case strings.HasSuffix(what, "connection"):
		return b.injectIntoConnection(ctx, f, verb)
	case strings.HasPrefix(string(f.kind), "ollama"):
		b.ollama(f.target).inject(requestFault(f))
		return nil
	case what == "ollama":
		o := b.ollama(f.target)
		o.stop()
		_ = outage.Sleep(ctx, f.lasts)
		return o.start()
	case what == "stream" || what == "durable":
		return b.injectIntoStreams(ctx, f)
	case what == "run":
		return b.pauseRun(ctx, f)
	case what == "redrive" || verb == "redrive":
		_, _, err := b.runOnce(ctx, "operator", f.lasts, "producer", "dead", "redrive", "--run", run, "--json")
		return ignoreAbsent(ctx, err)
	case what == "programs" || what == "everything":
		return b.killAll(ctx, f, t, stored)
	case what == otherSink:
		b.beside.Go(func() { t.fail(f.kind, b.startOtherSink(ctx)) }) // it may wait for streams that are lost
		return nil
	case what == "database":
		return b.injectIntoDatabase(ctx, f, t, verb, stored)
	}
	return b.injectIntoProcess(ctx, f, t, verb, stored)
}

func (b *testbed) injectIntoProcess(ctx context.Context, f fault, t *tally, verb string, stored func() int) error {
	victim := b.programs[f.target]
	if f.target == "nats" {
		victim = b.nats
	}
	began := time.Now()
	switch verb {
	case "rollback":
		return b.rollBackNATS(ctx, f)
	case "stop":
		victim.signal(syscall.SIGSTOP)
		_ = outage.Sleep(ctx, f.lasts)
		victim.signal(syscall.SIGCONT)
		return nil
	case "restart":
		victim.down(syscall.SIGTERM, faultWithin)
	default:
		victim.down(syscall.SIGKILL, diesWithin)
	}
	if verb == "empty" {
		if err := os.RemoveAll(b.server.dir); err != nil {
			return err
		}
	}
	_ = outage.Sleep(ctx, f.lasts)
	count := stored
	if strings.HasPrefix(f.target, "consumer") {
		count = func() int { return b.requests(f.target) }
	}
	before := count()
	victim.up()
	if verb == "kill" {
		t.await(ctx, f.kind, began, func() bool { return count() > before })
	}
	return nil
}

func (b *testbed) injectIntoDatabase(ctx context.Context, f fault, t *tally, verb string, stored func() int) error {
	began := time.Now()
	if verb == "stop" {
		b.database.signal(context.WithoutCancel(ctx), syscall.SIGSTOP)
		_ = outage.Sleep(ctx, f.lasts)
		b.database.signal(context.WithoutCancel(ctx), syscall.SIGCONT)
		return nil
	}
	b.database.down(context.WithoutCancel(ctx))
	_ = outage.Sleep(ctx, f.lasts)
	before := stored()
	if err := b.database.up(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	t.await(ctx, f.kind, began, func() bool { return stored() > before })
	return nil
}

// killAll kills all programs at once, with their servers where that is asked for, and starts them
// again at once.
func (b *testbed) killAll(ctx context.Context, f fault, t *tally, stored func() int) error {
	began := time.Now()
	var victims []*process
	for _, name := range f.touches() {
		if x := b.programs[name]; x != nil {
			victims = append(victims, x)
		}
	}
	servers := f.target == everything
	if servers {
		victims = append(victims, b.nats)
	}
	var dying sync.WaitGroup
	for _, x := range victims {
		dying.Go(func() { x.down(syscall.SIGKILL, diesWithin) })
	}
	if servers && b.database != nil {
		b.database.down(context.WithoutCancel(ctx))
	}
	dying.Wait()
	_ = outage.Sleep(ctx, f.lasts)
	before := stored()
	for _, x := range victims {
		x.up()
	}
	if servers && b.database != nil {
		if err := b.database.up(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	t.await(ctx, f.kind, began, func() bool { return stored() > before })
	return nil
}

func (b *testbed) injectIntoConnection(ctx context.Context, f fault, verb string) error {
	proxy := b.toNATS[f.target]
	if strings.Contains(string(f.kind), "store") {
		proxy = b.toStore[f.target]
	}
	if proxy == nil {
		return nil // the store is a file
	}
	switch verb {
	case "cut":
		proxy.Cut()
	case "freeze":
		proxy.Freeze()
	case "stall":
		proxy.Stall()
		_ = outage.Sleep(ctx, f.lasts)
		proxy.Resume()
	case "delay":
		proxy.Delay(time.Duration(f.count) * delayStep)
		_ = outage.Sleep(ctx, f.lasts)
		proxy.Delay(0)
	}
	return nil
}

func (b *testbed) ollama(target string) *ollama {
	var i int
	if _, err := fmt.Sscanf(target, "ollama-%d", &i); err != nil {
		panic(err) // the schedule is wrong
	}
	return b.ollamas[i-1]
}

// change makes a server wrong until it is mended.
func (b *testbed) change(f fault) {
	o := b.ollama(f.target)
	o.change(func() {
		switch f.kind {
		case small:
			o.context = smallContext
		case "change digest":
			o.digest = otherDigest
		default:
			o.broken = []ollamasim.Fault{
				{Kind: ollamasim.Empty}, {Kind: ollamasim.Loop, Text: garbage}, {Kind: ollamasim.Short, After: 3},
			}[f.count%3]
		}
	})
}

// garbage is what a broken server says again and again.
const garbage = "GGGG"

func (b *testbed) mend(f fault) {
	o := b.ollama(f.target)
	o.change(func() {
		if f.kind == "change digest" {
			o.digest = ownDigest
		} else {
			o.broken = ollamasim.Fault{}
		}
	})
}

// requestFault returns the fault for the next requests. It spares the rows that fail anyway.
func requestFault(f fault) ollamasim.Fault {
	ordinary := func(prompt string) bool {
		_, is := specialOf(prompt)
		return !is
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

// injectIntoStreams changes a stream or a durable behind the backs of all programs.
func (b *testbed) injectIntoStreams(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, f.lasts+changeWithin)
	defer cancel()
	switch f.target {
	case "durable-run":
		return ignoreAbsent(ctx, b.js.DeleteConsumer(ctx, stream.WorkStream, run))
	case "durable-sink":
		return ignoreAbsent(ctx, b.js.DeleteConsumer(ctx, stream.ResultsStream, "sink"))
	case "durable-mirror":
		return ignoreAbsent(ctx, b.js.DeleteConsumer(ctx, stream.DeadStream, "mirror"))
	}
	name := map[string]string{"stream-work": stream.WorkStream, "stream-results": stream.ResultsStream, "stream-dead": stream.DeadStream}[f.target]
	if f.kind == "delete stream" {
		return ignoreAbsent(ctx, b.js.DeleteStream(ctx, name))
	}
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return ignoreAbsent(ctx, err)
	}
	if f.kind == "purge stream" {
		return ignoreAbsent(ctx, s.Purge(ctx))
	}
	return ignoreAbsent(ctx, b.fill(ctx, s, f.lasts))
}

// fill shrinks a stream to what it holds, and later gives it its size back.
func (b *testbed) fill(ctx context.Context, s jetstream.Stream, lasts time.Duration) error {
	info := s.CachedInfo()
	small := info.Config
	small.MaxBytes = int64(info.State.Bytes) + 1
	if _, err := b.js.UpdateStream(ctx, small); err != nil {
		return err
	}
	_ = outage.Sleep(ctx, lasts)
	// It has to be mended, whatever happens to the server in the meantime. A stream that is gone is
	// made again with its old size.
	mending, cancel := context.WithTimeout(context.WithoutCancel(ctx), mendWithin)
	defer cancel()
	for {
		_, err := b.js.UpdateStream(mending, info.Config)
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if outage.Sleep(mending, mendAgain) != nil {
			return err
		}
	}
}

func (b *testbed) pauseRun(ctx context.Context, f fault) error {
	s, err := b.js.Stream(ctx, stream.WorkStream)
	if err != nil {
		return ignoreAbsent(ctx, err)
	}
	if _, err := s.PauseConsumer(ctx, run, time.Now().Add(f.lasts)); err != nil { // it ends by itself
		return ignoreAbsent(ctx, err)
	}
	_ = outage.Sleep(ctx, f.lasts)
	return nil
}

// ignoreAbsent drops the errors of a fault whose target is absent because of another fault.
func ignoreAbsent(ctx context.Context, err error) error {
	for _, absent := range []error{
		jetstream.ErrStreamNotFound, jetstream.ErrConsumerNotFound, context.DeadlineExceeded, context.Canceled, pipeline.ErrNoRun,
	} {
		if errors.Is(err, absent) {
			return nil
		}
	}
	if ctx.Err() != nil || err != nil && strings.Contains(err.Error(), "no responders") || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return nil
	}
	return err
}
