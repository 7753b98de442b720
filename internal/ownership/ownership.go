// Package ownership keeps the programs of one store from working on the streams of another. The
// streams say whose they are, and a Guard compares that with the store before anything is written
// to them or taken away.
//
// Streams that say nothing are those of an earlier version, or just made: they belong to the store
// that knows a run on them.
package ownership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// CompareEvery is how long a comparison counts while the connection lasts.
const CompareEvery = 2 * time.Minute

// A Program says what a program may do with streams that do not say whose they are.
type Program int

// The kinds of programs.
const (
	Operator  Program = iota // it works on what is there, and nothing more
	Publisher                // it publishes an open run of its store: it makes streams and writes the id
	Sink                     // it makes nothing and waits until there are streams of its store
)

// Store is the part of the store that a Guard needs.
type Store interface {
	Identity(ctx context.Context) (pipeline.StoreIdentity, error)
	// MakeIdentity gives the store an id unless it has one.
	MakeIdentity(ctx context.Context) (pipeline.StoreIdentity, error)
	Run(ctx context.Context, name string) (pipeline.Run, error)
}

// Streams say whose they are.
type Streams interface {
	// Owners returns whose the three streams are; those that do not exist are left out. Briefly
	// asks for the queue alone, whose id is written first and read most.
	Owners(ctx context.Context, briefly bool) ([]pipeline.StreamOwner, error)
	// Own says for which store this connection makes streams. It asks nothing of the server.
	Own(owner pipeline.StoreIdentity)
	// WriteOwner writes that on the streams that exist. One that has an owner keeps it, unless
	// replace is set.
	WriteOwner(ctx context.Context, replace bool) error
	// Connections counts the connections that were made so far.
	Connections() uint64
	Runs(ctx context.Context) ([]pipeline.RunInfo, error)
	Consumers(ctx context.Context) ([]pipeline.Presence, error)
	RemoveRun(ctx context.Context, run string) error
}

// A Guard compares a store with the streams: when it is first asked, after each reconnect, and
// every two minutes. It may be used by many goroutines.
type Guard struct {
	store   Store
	streams Streams
	program Program
	log     *zap.Logger

	busy    chan struct{}         // held by the one comparison that is made
	fresh   atomic.Pointer[fresh] // the last comparison after which the program may go on
	refused atomic.Pointer[error] // that the streams are another store's: it stays so
	waiting outage.Reporter
}

// A fresh is a comparison that counts for a while.
type fresh struct {
	began       time.Time
	connections uint64
}

// New returns a guard for such a program.
func New(program Program, store Store, streams Streams, log *zap.Logger) *Guard {
	return &Guard{store: store, streams: streams, program: program, log: log, busy: make(chan struct{}, 1)}
}

// Confirm returns nil if the program may write to the streams, or take from them. A comparison that
// counts still costs nothing. Streams of another store are a Fatal failure with
// pipeline.ErrOtherStore, now and for ever. A sink waits here until there are streams of its store.
func (g *Guard) Confirm(ctx context.Context) error {
	if g.isFresh() {
		return nil
	}
	return g.alone(ctx, func() error {
		if g.isFresh() { // another goroutine has compared meanwhile
			return nil
		}
		last := g.fresh.Load()
		briefly := last != nil && last.connections == g.streams.Connections()
		return g.settle(ctx, briefly)
	})
}

// Compare returns the same after a comparison that begins now. It is for those who are about to
// remove what only the right store may remove, and it does not wait for streams.
func (g *Guard) Compare(ctx context.Context) error {
	return g.alone(ctx, func() error {
		found, err := g.compare(ctx, false)
		if err == nil && found == absent {
			err = pipeline.Fail(pipeline.Retryable, "there are no streams of this store")
		}
		return err
	})
}

// Begin confirms for the first time. It returns only what a person has to mend, such as a missing
// permission: an outage is for the work itself to wait for and to report.
func (g *Guard) Begin(ctx context.Context) error {
	err := g.Confirm(ctx)
	if err == nil || ctx.Err() != nil || pipeline.IsOutage(err) {
		return nil
	}
	return err
}

// Watch returns a context that ends once the streams turn out to be another store's, with that as
// its cause. The caller calls stop, which waits for the goroutine.
func (g *Guard) Watch(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			// An outage is for the work itself to report.
			if err := g.Confirm(ctx); errors.Is(err, pipeline.ErrOtherStore) {
				cancel(err)
				return
			}
			if outage.Sleep(ctx, lookEvery) != nil {
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// lookEvery is how soon Watch notices a reconnect. It asks nothing of the server.
const lookEvery = 250 * time.Millisecond

// Refusal returns why a context of Watch ended, if the streams are another store's, else nil.
func Refusal(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, pipeline.ErrOtherStore) {
		return cause
	}
	return nil
}

func (g *Guard) isFresh() bool {
	last := g.fresh.Load()
	return last != nil && g.refused.Load() == nil && last.connections == g.streams.Connections() && time.Since(last.began) < CompareEvery
}

// alone calls do while no other goroutine compares.
func (g *Guard) alone(ctx context.Context, do func() error) error {
	select {
	case g.busy <- struct{}{}:
		defer func() { <-g.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if refused := g.refused.Load(); refused != nil {
		return *refused
	}
	err := do()
	if errors.Is(err, pipeline.ErrOtherStore) {
		g.refused.Store(&err)
	}
	return err
}

// settle compares until the program may go on, and does what its kind does with streams that do not
// say whose they are.
func (g *Guard) settle(ctx context.Context, briefly bool) error {
	for started := time.Now(); ; {
		now := fresh{began: time.Now(), connections: g.streams.Connections()}
		found, err := g.compare(ctx, briefly)
		if err != nil {
			return err
		}
		switch {
		case g.program == Publisher && found != ours:
			if err := g.write(ctx); err != nil {
				return err
			}
			fallthrough
		case g.program != Sink || found == ours || found == known:
			g.fresh.Store(&now)
			if g.waiting.Ends() {
				g.log.Info("the streams are there")
			}
			return nil
		}
		briefly = false
		if g.waiting.Begins(errWaiting) {
			g.log.Info("waiting for the streams of this store: `" + advice.Command("publish", "--run", "NAME") + "` makes them")
		}
		if err := outage.Sleep(ctx, min(max(time.Since(started)/60, 500*time.Millisecond), 10*time.Second)); err != nil {
			return err
		}
	}
}

var errWaiting = errors.New("waiting")

// write writes the store's id on the streams, and reads it again: of two stores that do it at once
// one wins.
func (g *Guard) write(ctx context.Context) error {
	me, err := g.store.MakeIdentity(ctx)
	if err != nil {
		return err
	}
	g.streams.Own(me)
	if err := g.streams.WriteOwner(ctx, false); err != nil {
		return err
	}
	_, err = g.compare(ctx, false)
	return err
}

// What a comparison finds.
type finding int

const (
	absent finding = iota // no streams, or streams that say nothing and on which there is no run
	known                 // a run of this store is on streams that say nothing
	ours                  // they say that they are this store's
)

// compare asks once whose the streams are.
func (g *Guard) compare(ctx context.Context, briefly bool) (finding, error) {
	me, err := g.store.Identity(ctx)
	if err != nil {
		return absent, err
	}
	g.streams.Own(me)
	owners, err := g.streams.Owners(ctx, briefly)
	if err != nil {
		return absent, err
	}
	named, unnamed := 0, 0
	for _, owner := range owners {
		switch {
		case owner.ID == "":
			unnamed++
		case owner.ID != me.ID:
			return absent, refusal(me, nameOf(me, owner.StoreIdentity))
		default:
			named++
		}
	}
	switch {
	case named > 0 && unnamed > 0:
		return known, nil // a publisher was interrupted between two of them
	case named > 0:
		return ours, nil
	case unnamed > 0:
		return g.byRuns(ctx, me)
	}
	return absent, nil
}

// byRuns finds out whose streams are that do not say it.
func (g *Guard) byRuns(ctx context.Context, me pipeline.StoreIdentity) (finding, error) {
	runs, err := g.streams.Runs(ctx)
	if err != nil {
		return absent, err
	}
	var others []string
	for _, run := range runs {
		mine, err := g.knows(ctx, run)
		if err != nil {
			return absent, err
		}
		if mine {
			return known, nil
		}
		others = append(others, run.Run)
	}
	if len(others) == 0 {
		return absent, nil
	}
	return absent, refusal(me, "another store, which knows "+list(others))
}

// knows reports whether the store has the run, and not only one of its name.
func (g *Guard) knows(ctx context.Context, info pipeline.RunInfo) (bool, error) {
	run, err := g.store.Run(ctx, info.Run)
	if errors.Is(err, pipeline.ErrNoRun) {
		return false, nil
	}
	return err == nil && (info.UID == "" || run.UID == info.UID), err
}

// refusal says that the streams are another store's, and what to do.
func refusal(me pipeline.StoreIdentity, other string) error {
	return pipeline.Fail(pipeline.Fatal, "%w: those of this NATS account belong to %s, and this program works for %s. "+
		"Use that store (--store, MONGODB_URI) or another NATS account (--nats-url, NATS_URL and NATS_CREDS); "+
		"or, if that store is given up, take them from it: `%s`", pipeline.ErrOtherStore, other, me.Name, advice.Command("publish", "--run", "NAME", "--take-over"))
}

// nameOf names another store for people. Anyone who may write to the account may have chosen the
// name.
func nameOf(me, other pipeline.StoreIdentity) string {
	name := text.Shorten(text.Printable(text.OneLine(other.Name)), 200)
	switch {
	case name == "":
		return "the store with the id " + text.Shorten(text.Printable(text.OneLine(other.ID)), 64)
	case other.Name == me.Name: // it was emptied, or restored from a copy
		return "an earlier store at " + name + ", with another id"
	}
	return name
}

// list names runs, the first few of them.
func list(runs []string) string {
	const most = 5
	words := slices.Clone(runs[:min(len(runs), most)])
	if more := len(runs) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	if len(runs) == 1 {
		return "run " + words[0]
	}
	return "the runs " + strings.Join(words, ", ")
}
