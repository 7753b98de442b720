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
	gone    []string            // generations whose result went away
	changed []string            // and those whose result is another one
	load    int                 // of the run: each load of its name is another one
	absent  bool                // the run is being deleted and loaded again
	later   bool                // it still will be
}

// newWatcher watches a run until that many results are stored. If the run will be deleted and
// loaded again, those of its last load count.
func newWatcher(s store.Store, until int, later bool) *watcher {
	w := &watcher{store: s, until: until, later: later}
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
		load := w.loads()
		if progress, err := w.store.Progress(ctx, run, time.Now()); err == nil {
			w.saw(progress.Stored, load)
		}
		if time.Since(compared) > compareEvery {
			_ = w.compare(ctx) // at the end it has to work
			compared = time.Now()
		}
	}
}

// saw notes how many results of this load are stored.
func (w *watcher) saw(stored, load int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.absent || load != w.load {
		return
	}
	if w.stored = stored; stored >= w.until && !w.later {
		w.reach()
	}
}

// forget forgets the run, which is being deleted, until begin.
func (w *watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.load++
	w.absent, w.stored, w.first = true, 0, nil
}

// begin watches the run that has the name now.
func (w *watcher) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.load++
	w.absent, w.later = false, false
}

func (w *watcher) loads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.load
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored
}

// compare reads all results and compares them with what was seen before.
func (w *watcher) compare(ctx context.Context) error {
	seen, load := map[string][32]byte{}, w.loads()
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
	if w.absent || load != w.load {
		return nil
	}
	for id, was := range w.first {
		if is, ok := seen[id]; !ok {
			w.gone = append(w.gone, id+" was stored and is gone")
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
