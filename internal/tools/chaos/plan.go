//go:build unix

package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What every seed runs.
const (
	run   = "chaos"
	model = "simulated/sim:latest"
	slots = 3  // of each GPU
	speed = 20 // times that of a T4: a lease is to an answer what it is with real ones

	window     = "300"   // batches on the queue: fewer than the run has, so that publishing goes on during the faults
	flushEvery = "200ms" // of the sinks: small writes, so that faults fall between them
	grace      = "10s"   // of the consumers
)

// Targets of faults that are no program of the run.
const (
	natsTarget     = "nats"
	databaseTarget = "database"
	otherSink      = "othersink" // of another store
)

// A kind of fault, as it is counted and printed: its target and what happens to it.
type kind string

// How long the leases are, and what hangs on them.
const (
	lease    = 2 * time.Second // of a batch
	sinkHold = 2 * time.Second // of results
	rest     = time.Second     // before a batch is tried again
	settling = 2 * time.Second // before the first fault
)

// How long a consumer waits for an answer.
const (
	firstToken  = 5 * time.Second
	stall       = 2 * time.Second // between two tokens
	answerLimit = 10 * time.Second
)

// How long programs may take to end. Behind it they are killed, which counts as a violation.
const (
	endWithin   = 30 * time.Second // of a SIGTERM: a consumer finishes for 10 s what it has begun
	faultWithin = 40 * time.Second // the same while other things are broken
	diesWithin  = time.Minute      // of a SIGKILL: a busy disk can hold a process up
)

// The bounds of a fault.
const (
	mostRequests = 6           // that it makes fail
	apart        = time.Second // between the end of a fault and the next one with the same target
)

// A fault is one thing that goes wrong.
type fault struct {
	at     time.Duration // from the start of the run
	kind   kind
	target string        // such as consumer-2
	lasts  time.Duration // until it is mended
	count  int           // of requests that it makes fail
}

// A choice is one kind of fault: how often it is chosen, its possible targets, and how long it
// lasts.
type choice struct {
	kind     kind
	weight   int
	targets  []string
	from, to time.Duration
}

// The parts of the testbed into which faults are injected.
const (
	consumers = 3
	gpusEach  = 2
	sinks     = 2
)

func numbered(name string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, name+"-"+strconv.Itoa(i+1))
	}
	return names
}

func choices(ownDatabase bool) []choice {
	const s = time.Second
	workers, writers, servers := numbered("consumer", consumers), numbered("sink", sinks), numbered("ollama", consumers*gpusEach)
	producer, broker := []string{"producer"}, []string{"nats"}
	programs := slices.Concat(workers, writers, producer)
	storing := slices.Concat(writers, producer)
	streams := []string{"stream-work", "stream-results", "stream-dead"}
	all := []choice{
		{"kill consumer", 5, workers, 0, 2 * s},
		{"kill sink", 3, writers, 0, 2 * s},
		{"kill producer", 3, producer, 0, 2 * s},
		{"kill nats", 3, broker, 0, 2 * s},
		{"stop consumer", 3, workers, 3 * lease / 2, 3 * lease},
		{"stop sink", 2, writers, sinkHold * 3 / 2, 2 * sinkHold},
		{"stop producer", 2, producer, lease, 2 * lease},
		{"stop nats", 2, broker, lease, 2 * lease},
		{"restart consumer", 2, workers, 0, s},
		{"restart sink", 1, writers, 0, s},
		{"restart producer", 1, producer, 0, s},
		{"restart nats", 1, broker, 0, s},
		{"empty nats", 1, broker, 0, s},
		{"rollback nats", 2, broker, s, 5 * s},
		{"outage nats", 2, broker, 2 * s, 8 * s},
		{"cut nats connection", 3, programs, 0, 0},
		{"freeze nats connection", 3, programs, 0, 0},
		{"stall nats connection", 3, programs, s, 4 * s},
		{"delay nats connection", 2, programs, s, 4 * s},
		{"cut store connection", 2, storing, 0, 0},
		{"freeze store connection", 3, storing, 0, 0},
		{"stall store connection", 2, storing, s, 4 * s},
		{"delay store connection", 1, storing, s, 4 * s},
		{"ollama hangs", 2, servers, 0, 0},
		{"ollama crashes", 3, servers, 0, 0},
		{"ollama answers 500", 2, servers, 0, 0},
		{"ollama answers 503", 2, servers, 0, 0},
		{"ollama cuts streams", 2, servers, 0, 0},
		{"ollama refuses", 2, servers, 0, 0},
		{"restart ollama", 2, servers, 0, 2 * s},
		{"break ollama", 3, servers, 3 * s, 8 * s},
		{"change digest", 2, servers, 2 * s, 6 * s},
		{"purge stream", 3, streams, 0, 0},
		{"delete stream", 2, streams, 0, 0},
		{"fill stream", 4, streams, s, 4 * s},
		{"delete durable", 1, []string{"durable-run", "durable-sink", "durable-mirror"}, 0, 0},
		{"pause run", 1, []string{"run"}, s, 2 * s},
		{"redrive", 2, []string{"operator"}, 0, 0},
		{"kill redrive", 1, []string{"operator"}, 0, s / 4},
		{"start othersink", 2, []string{otherSink}, 0, 0},
		{"kill programs", 1, []string{allPrograms}, 0, 2 * s},
		{"kill everything", 1, []string{everything}, 0, 2 * s},
	}
	if ownDatabase {
		all = append(all, choice{"kill database", 3, []string{"database"}, 0, 2 * s}, choice{"stop database", 2, []string{"database"}, s, 3 * s}, choice{"outage database", 1, []string{"database"}, 2 * s, 8 * s})
	}
	return all
}

// Targets that are many.
const (
	allPrograms = "programs"
	everything  = "everything" // and their servers
)

// touches returns what a fault breaks.
func (f fault) touches() []string {
	programs := slices.Concat(numbered("consumer", consumers), numbered("sink", sinks), []string{"producer"})
	switch f.target {
	case allPrograms:
		return programs
	case everything:
		return append(programs, natsTarget, databaseTarget)
	}
	return []string{f.target}
}

// The faults with which some seeds begin.
const (
	small       kind = "small context"
	brokenFirst kind = "broken from the start"
)

// beginning returns what is wrong from the start: with every other seed a server has a small
// context, for the whole run, and with every third one a server is broken.
func beginning(seed int64) (faults []fault) {
	r := rand.New(rand.NewPCG(uint64(seed), 3))
	servers := numbered("ollama", consumers*gpusEach)
	if seed%2 == 0 {
		faults = append(faults, fault{kind: small, target: servers[r.IntN(len(servers))]})
	}
	if seed%3 == 0 {
		f := fault{kind: brokenFirst, target: servers[r.IntN(len(servers))], lasts: 4*time.Second + time.Duration(r.Int64N(int64(6*time.Second))), count: r.IntN(mostRequests)}
		faults = append(faults, f)
	}
	return faults
}

// schedule returns the faults of a seed in order, one every so often on average. No two have the
// same target at the same time.
func schedule(seed int64, every time.Duration, count int, ownDatabase bool) []fault {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	all := choices(ownDatabase)
	total := 0
	for _, m := range all {
		total += m.weight
	}
	faults := beginning(seed)
	free := map[string]time.Duration{} // by scope: from when on it may have a fault again
	for _, f := range faults {
		free[f.scope()] = f.lasts + apart
	}
	for i := range count {
		// One in each part of the time, so that they are spread but not regular.
		at := settling + every*time.Duration(i) + time.Duration(r.Int64N(int64(every)))
		n := r.IntN(total)
		chosen := all[slices.IndexFunc(all, func(m choice) bool { n -= m.weight; return n < 0 })]
		f := fault{at: at, kind: chosen.kind, target: chosen.targets[r.IntN(len(chosen.targets))], lasts: chosen.from, count: 1 + r.IntN(mostRequests)}
		if chosen.to > chosen.from {
			f.lasts += time.Duration(r.Int64N(int64(chosen.to - chosen.from)))
		}
		if scope := f.scope(); free[scope] <= f.at {
			free[scope] = f.at + f.lasts + apart
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return faults
}

// scope is what two faults at the same time must not share.
func (f fault) scope() string {
	switch {
	case strings.Contains(string(f.kind), "nats connection"):
		return f.target + " nats"
	case strings.Contains(string(f.kind), "store connection"):
		return f.target + " store"
	case f.kind == small, f.kind == "change digest":
		return string(f.kind) // one server at a time: the others can do what it cannot
	case f.kind == brokenFirst, f.kind == "break ollama":
		return "broken"
	}
	return f.target
}
