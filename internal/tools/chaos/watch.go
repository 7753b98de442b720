//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// A watcher reads the store directly while the run goes on: how far it is, and whether a result
// that was stored once stays as it was.
type watcher struct {
	store  store.Store
	until  int             // that many stored results are enough
	enough context.Context // ends when they are stored
	reach  context.CancelFunc

	mu      sync.Mutex
	stored  int
	first   map[string][32]byte // what was seen of each generation at first
	changed []string            // generations whose result changed or went away
}

func newWatcher(s store.Store, until int) *watcher {
	w := &watcher{store: s, until: until}
	w.enough, w.reach = context.WithCancel(context.Background())
	return w
}

const (
	readEvery    = 250 * time.Millisecond
	compareEvery = 4 * time.Second
)

// watch reads until ctx ends. While the database is away it sees nothing.
func (w *watcher) watch(ctx context.Context) {
	compared := time.Now()
	for outage.Sleep(ctx, readEvery) == nil {
		if progress, err := w.store.Progress(ctx, run, time.Now()); err == nil {
			w.mu.Lock()
			w.stored = progress.Stored
			w.mu.Unlock()
			if progress.Stored >= w.until {
				w.reach()
			}
		}
		if time.Since(compared) > compareEvery {
			_ = w.compare(ctx) // at the end it has to work
			compared = time.Now()
		}
	}
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored
}

// compare reads all results and compares them with what was seen before.
func (w *watcher) compare(ctx context.Context) error {
	seen := map[string][32]byte{}
	for answer, err := range w.store.Answers(ctx, run) {
		if err != nil {
			return err
		}
		if answer.Result != nil {
			sum, err := digest(answer.Result)
			if err != nil {
				return err
			}
			seen[pipeline.GenerationID(run, answer.Item, answer.Sample)] = sum
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, was := range w.first {
		if is, ok := seen[id]; !ok {
			w.changed = append(w.changed, id+" was stored and is gone")
		} else if is != was {
			w.changed = append(w.changed, id+" was stored and is another now")
		}
	}
	w.first = seen
	return nil
}

// digest is of everything in a stored result, its provenance included, so that the same text
// stored a second time shows.
func digest(r *pipeline.StoredResult) ([32]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return [32]byte{}, fmt.Errorf("a stored result: %w", err)
	}
	return sha256.Sum256(data), nil
}
