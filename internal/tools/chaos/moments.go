//go:build unix

package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"gleaner/internal/outage"
)

// A phase is a part of the life of a run in which a server may be away.
type phase string

const (
	starting phase = "start"                 // the programs start without it
	waiting  phase = "waiting for the run"   // consumers and sinks run, and nothing is published yet
	working  phase = "working"               // batches are on the way
	draining phase = "draining"              // a consumer was told to stop
	ending   phase = "ending"                // almost everything is stored
	reloads  phase = "delete and load again" // no outage
)

// outagePhases are those of which each seed has one without NATS and one without the store.
func outagePhases() []phase { return []phase{starting, waiting, working, draining, ending} }

// outageLengths are how long a server is away; a long one is away longer than any lease.
func outageLengths() []time.Duration {
	return []time.Duration{300 * time.Millisecond, 2 * time.Second, 8 * time.Second}
}

const (
	longOutage     = time.Minute
	beforeRun      = 2 * time.Second        // consumers wait for the run, before an outage
	afterSignal    = 100 * time.Millisecond // a consumer drains, before an outage
	endingLeft     = 20                     // generations that are not stored yet when the run is ending
	natsTarget     = "nats"
	databaseTarget = "database"
)

// A moment is what happens once in a run, by how far the run is.
type moment struct {
	phase  phase
	target string  // natsTarget or databaseTarget
	share  float64 // of the generations that is stored by then
	lasts  time.Duration
	count  int // which consumer drains
}

func (m moment) kind() kind {
	if m.phase == reloads {
		return kind(reloads)
	}
	return kind(m.target + " away, " + string(m.phase))
}

func (m moment) isReload() bool { return m.phase == reloads }

// moments returns those of a seed, in order: NATS is away in one phase and the store in one, and
// with every third seed the run is deleted and loaded again.
func moments(seed int64) []moment {
	r := rand.New(rand.NewPCG(uint64(seed), 4))
	phases, lengths := outagePhases(), outageLengths()
	nats := moment{phase: phases[seed%int64(len(phases))], target: natsTarget, lasts: lengths[r.IntN(len(lengths))]}
	store := moment{phase: phases[r.IntN(len(phases))], target: databaseTarget, lasts: lengths[r.IntN(len(lengths))]}
	switch seed % 7 {
	case 3:
		nats.lasts = longOutage
	case 6:
		store.lasts = longOutage
	}
	all := []moment{nats, store}
	for i := range all {
		all[i].count = r.IntN(consumers)
		all[i].share = map[phase]float64{starting: -2, waiting: -1, working: 0.3 + r.Float64()/5, draining: 0.5 + r.Float64()/5, ending: 1}[all[i].phase]
	}
	if seed/2%3 == 1 {
		all = append(all, moment{phase: reloads, share: 0.05 + r.Float64()/5})
	}
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.share, b.share) })
	return all
}

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
