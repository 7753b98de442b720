//go:build unix

package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"gleaner/internal/outage"
)

// Claims say which targets have a fault now. Who claims a target keeps faults away from it: what
// is to be measured while others break must not be broken itself.
type claims struct {
	mu      sync.Mutex
	busy    map[string]int // faults by target
	claimed []string
}

// begin reports whether a fault may go into these targets, and counts it until end.
func (c *claims) begin(targets []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, target := range targets {
		if slices.Contains(c.claimed, target) {
			return false
		}
	}
	for _, target := range targets {
		c.busy[target]++
	}
	return true
}

func (c *claims) end(targets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, target := range targets {
		c.busy[target]--
	}
}

// claim keeps faults away from the targets until release, and waits for those that go on.
func (c *claims) claim(ctx context.Context, targets ...string) error {
	c.mu.Lock()
	c.claimed = targets
	c.mu.Unlock()
	for c.isBusy(targets) {
		if err := outage.Sleep(ctx, claimEvery); err != nil {
			return err
		}
	}
	return nil
}

const claimEvery = 50 * time.Millisecond

func (c *claims) isBusy(targets []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(targets, func(target string) bool { return c.busy[target] > 0 })
}

func (c *claims) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimed = nil
}
