//go:build unix

package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
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

// longOutage is longer than any time that a program waits for a server at its start.
const longOutage = time.Minute

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
