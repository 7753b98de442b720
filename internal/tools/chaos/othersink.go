//go:build unix

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// Another store, whose sink is pointed at the NATS server of this one by mistake.
const (
	otherRun      = "other"
	otherRows     = 3
	refusesWithin = 2 * time.Minute // with the NATS server away, and streams that were lost
)

// loadOther makes the other store: it has a run, so it is one that somebody uses.
func (b *testbed) loadOther(ctx context.Context) error {
	file := filepath.Join(b.dir, "other.jsonl")
	if err := writeRows(file, makeRows(0, otherRows, nil)); err != nil {
		return err
	}
	code, _, err := b.runOnce(ctx, otherSink, 0, "producer", loadArgs(otherRun, file)...)
	if err == nil && code != 0 {
		err = fmt.Errorf("producer load into another store ended with %d, see %s.log in %s", code, otherSink, b.dir)
	}
	if err != nil {
		return err
	}
	b.otherHeld, err = b.readOther(ctx)
	return err
}

// readOther returns what the other store holds.
func (b *testbed) readOther(ctx context.Context) (held []any, err error) {
	s, err := store.Open(ctx, b.otherStore())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	runs, err := s.Runs(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		held = append(held, r)
		for answer, err := range s.Answers(ctx, r.Name) {
			if err != nil {
				return nil, err
			}
			held = append(held, answer)
		}
	}
	return held, nil
}

// startOtherSink starts the other store's sink, which has to refuse as soon as there are streams.
func (b *testbed) startOtherSink(ctx context.Context) error {
	from, err := b.logEnd(otherSink)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, refusesWithin)
	defer cancel()
	code, _, err := b.runOnce(limited, otherSink, 0, "sink", "serve", "--lease", sinkHold.String(), "--flush-every", flushEvery)
	if err != nil || ctx.Err() != nil {
		return ignoreEnd(ctx, err)
	}
	if limited.Err() != nil {
		return fmt.Errorf("the sink of another store did not refuse within %s", refusesWithin)
	}
	if code != 1 {
		return fmt.Errorf("the sink of another store ended with %d, want 1", code)
	}
	said, err := b.logSince(otherSink, from)
	if err == nil && !strings.Contains(said, pipeline.ErrOtherStore.Error()) {
		err = fmt.Errorf("the sink of another store did not say that %w", pipeline.ErrOtherStore)
	}
	return err
}

// checkOther proves that the other store's sink touched nothing: its store holds what it held, and
// the streams are still this store's.
func (b *testbed) checkOther(ctx context.Context, f *findings) {
	held, err := b.readOther(ctx)
	if err != nil {
		f.add("reading the other store: %v", err)
	} else if !reflect.DeepEqual(held, b.otherHeld) {
		f.add("the other store holds something else than before: %+v", held)
	}
	for _, name := range b.streamsOwnedBy(ctx, f) {
		f.add("stream %s is not this store's any more", name)
	}
}

// streamsOwnedBy names the streams that say that they are another store's.
func (b *testbed) streamsOwnedBy(ctx context.Context, f *findings) (others []string) {
	me, err := b.store.Identity(ctx)
	if err != nil {
		f.add("the id of the store: %v", err)
		return nil
	}
	conn, err := b.connect(ctx)
	if err != nil {
		f.add("%v", err)
		return nil
	}
	defer conn.Close()
	owners, err := conn.Owners(ctx, false)
	if err != nil {
		f.add("whose the streams are: %v", err)
	}
	for _, owner := range owners {
		if owner.ID != me.ID {
			others = append(others, owner.Stream)
		}
	}
	slices.Sort(others)
	return others
}
