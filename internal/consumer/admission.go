package consumer

import "gleaner/internal/autotune"

// A lane's number of slots has two limits: what its server can do, which the lane's supervisor
// sets, and what is fastest, which autotune sets. The smaller one is in force.

var _ autotune.Target = (*lane)(nil)

// UseSlots changes how many generations run at a time, as far as the server can do that many.
// What runs goes on.
func (g *lane) UseSlots(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = n
	g.allow()
}

// LimitSlots sets how many generations at a time the next server can do.
func (g *lane) LimitSlots(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = n
	g.allow()
}

// MaxSlots returns how many generations at a time the server can do.
func (g *lane) MaxSlots() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// Slots returns how many generations may run at a time.
func (g *lane) Slots() int {
	_, slots := g.permits.load()
	return slots
}
