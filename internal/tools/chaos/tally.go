//go:build unix

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/outage"
)

// A tally counts the faults that were injected and measures how long recovery took.
type tally struct {
	mu       sync.Mutex
	Faults   map[kind]int `json:"faults"`
	Recovery []recovery   `json:"recoveries"`
	failed   []string     // faults that could not be injected or mended
	back     time.Time    // when the last thing that was taken away was back
}

// restored notes that everything is back now.
func (t *tally) restored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back = time.Now()
}

// count counts one more fault.
func (t *tally) count(k kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Faults[k]++
}

// fail notes a fault that could not be injected or mended, or that the programs did not take as
// they should.
func (t *tally) fail(k kind, err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, fmt.Sprintf("%s: %v", k, err))
}

// awaitEvery is how exactly a recovery is measured.
const awaitEvery = 20 * time.Millisecond

// A recovery is how long it took after a kill until work went on: for a consumer until its GPUs
// got a request again, for everything else until another result was stored.
type recovery struct {
	Kind    kind    `json:"kind"`
	Seconds float64 `json:"seconds"`
}

// await waits for a condition and records how long it took since the fault. If ctx ends first,
// nothing is recorded.
func (t *tally) await(ctx context.Context, k kind, since time.Time, condition func() bool) {
	for !condition() {
		if outage.Sleep(ctx, awaitEvery) != nil {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Recovery = append(t.Recovery, recovery{k, time.Since(since).Seconds()})
}

// ignoreEnd drops the error of what was ended on purpose.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
