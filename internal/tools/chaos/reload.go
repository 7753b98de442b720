//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gleaner/internal/outage"
)

const (
	goneWithin  = 15 * time.Second // the follower of a run that was deleted ends
	goneEvery   = 50 * time.Millisecond
	tryAgain    = 500 * time.Millisecond
	reloadedTo  = "rows-2.jsonl"
	reloadsSeed = 1 << 20 // added to the seed: other rows than at first
)

// reload deletes the run and loads another one under its name while all programs run. The follower
// of the old one has to end and say why, and its next start follows the new one. The follower does
// not see the store meanwhile, and nothing else happens to it, so that it finds the new run in the
// place of the old one.
func (b *testbed) reload(ctx context.Context, t *tally, w *watcher, logf func(string, ...any)) error {
	defer b.claims.release()
	if err := b.claims.claim(ctx, "producer", natsTarget, databaseTarget); err != nil {
		return nil // the run came to its end
	}
	file := filepath.Join(b.dir, reloadedTo)
	rows := makeRows(b.seed+reloadsSeed, len(b.rows), b.special)
	if err := writeRows(file, rows); err != nil {
		return err
	}
	old, from, err := b.running(ctx, "producer")
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	t.count(kind(reloads))
	producer := b.programs["producer"]
	producer.provoke(true)
	defer producer.provoke(false)
	sees := b.blind(producer)
	defer sees()
	w.forget()
	err = b.untilDone(ctx, "producer", "delete", "--run", run, "--yes")
	if err == nil {
		err = b.untilDone(ctx, "producer", loadArgs(run, file)...)
	}
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	b.rows = rows
	w.begin()
	sees()
	return b.awaitGone(ctx, old, from, logf)
}

// blind keeps a program from seeing the store until it calls sees. One whose store is a file is
// stopped.
func (b *testbed) blind(x *process) (sees func()) {
	if proxy := b.toStore[x.name]; proxy != nil {
		proxy.Stall()
		return proxy.Resume
	}
	x.signal(syscall.SIGSTOP)
	return func() { x.signal(syscall.SIGCONT) }
}

// running waits until a program runs and returns the number of its start, and where its log will go
// on.
func (b *testbed) running(ctx context.Context, name string) (start int, from int64, err error) {
	for start == 0 {
		if start = b.programs[name].startedAs(); start == 0 {
			if err := outage.Sleep(ctx, goneEvery); err != nil {
				return 0, 0, err
			}
		}
	}
	from, err = b.logEnd(name)
	return start, from, err
}

// awaitGone waits for the end of the old run's follower, and looks at what it said.
func (b *testbed) awaitGone(ctx context.Context, old int, from int64, logf func(string, ...any)) error {
	loaded := time.Now()
	for b.programs["producer"].startedAs() == old {
		if time.Since(loaded) > goneWithin {
			return fmt.Errorf("the follower of the deleted run has not ended %s after another one was loaded", goneWithin)
		}
		if outage.Sleep(ctx, goneEvery) != nil {
			return nil
		}
	}
	logf("      the follower of the deleted run ended after %.1f s", time.Since(loaded).Seconds())
	said, err := b.logSince("producer", from)
	if err == nil && !strings.Contains(said, "run "+run+" was deleted; a new run of that name was loaded at ") {
		err = errors.New("the follower of the deleted run did not say that another one was loaded")
	}
	return err
}

// untilDone repeats a command of the operator until it works: servers may be away.
func (b *testbed) untilDone(ctx context.Context, program string, args ...string) error {
	for {
		code, _, err := b.runOnce(ctx, "operator", 0, program, args...)
		if err != nil || ctx.Err() != nil || code == 0 {
			return err
		}
		if err := outage.Sleep(ctx, tryAgain); err != nil {
			return err
		}
	}
}
