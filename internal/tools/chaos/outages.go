//go:build unix

package main

import (
	"context"
	"syscall"
	"time"

	"gleaner/internal/outage"
)

const (
	beforeRun   = 2 * time.Second        // consumers wait for the run, before an outage
	afterSignal = 100 * time.Millisecond // a consumer drains, before an outage
	endingLeft  = 20                     // generations that are not stored yet when the run is ending
)

// begin starts the programs, and takes servers away at their start and while they wait for the run.
func (b *testbed) begin(ctx context.Context, all []moment, t *tally, logf func(string, ...any)) error {
	for _, m := range all {
		if m.phase == starting {
			t.count(m.kind())
			logf("  0.0s %s for %s", m.kind(), m.lasts)
			b.takeAway(ctx, m.target)
			b.beside.Go(func() {
				_ = outage.Sleep(ctx, m.lasts)
				t.fail(m.kind(), b.bringBack(ctx, m.target))
				t.restored()
			})
		}
	}
	if err := b.startWorkers(); err != nil {
		return err
	}
	for _, m := range all {
		if m.phase == waiting && outage.Sleep(ctx, beforeRun) == nil {
			logf("  0.0s %s for %s", m.kind(), m.lasts)
			b.away(ctx, m, t)
		}
	}
	return b.startProducer()
}

// atMoments does what happens later, each once the run is that far.
func (b *testbed) atMoments(ctx context.Context, all []moment, t *tally, w *watcher, logf func(string, ...any)) {
	began := time.Now()
	for _, m := range all {
		if m.share < 0 {
			continue
		}
		for w.count() < min(int(m.share*float64(len(b.rows))), answerable(b.rows)-endingLeft) {
			if outage.Sleep(ctx, readEvery) != nil {
				return
			}
		}
		logf("%5.1fs %s for %s", time.Since(began).Seconds(), m.kind(), m.lasts)
		switch m.phase {
		case reloads:
			t.fail(m.kind(), b.reload(ctx, t, w, logf))
		case draining:
			b.whileDraining(ctx, m, t)
		default:
			b.away(ctx, m, t)
		}
		t.restored()
	}
}

// whileDraining takes a server away as soon as a consumer was told to stop.
func (b *testbed) whileDraining(ctx context.Context, m moment, t *tally) {
	victim := b.programs[numbered("consumer", consumers)[m.count]]
	b.beside.Go(func() {
		victim.down(syscall.SIGTERM, faultWithin)
		victim.up()
	})
	_ = outage.Sleep(ctx, afterSignal)
	b.away(ctx, m, t)
}

// away takes a server away and brings it back.
func (b *testbed) away(ctx context.Context, m moment, t *tally) {
	t.count(m.kind())
	t.restored() // the run's time to end does not begin before
	b.takeAway(ctx, m.target)
	_ = outage.Sleep(ctx, m.lasts)
	t.fail(m.kind(), b.bringBack(ctx, m.target))
	t.restored()
}

// takeAway takes a server away until bringBack. A store that is not ours to be killed is out of
// reach instead.
func (b *testbed) takeAway(ctx context.Context, target string) {
	switch {
	case target == natsTarget:
		b.nats.down(syscall.SIGKILL, diesWithin)
	case b.database != nil:
		b.database.down(context.WithoutCancel(ctx))
	default:
		for _, proxy := range b.toStore {
			proxy.Stall()
		}
	}
}

func (b *testbed) bringBack(ctx context.Context, target string) error {
	switch {
	case target == natsTarget:
		b.nats.up()
	case b.database != nil:
		return b.database.up(context.WithoutCancel(ctx))
	default:
		for _, proxy := range b.toStore {
			proxy.Resume()
		}
	}
	return nil
}
