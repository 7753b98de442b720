package consumer

import (
	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// A lane is what its supervisor opens and closes, and what autotune tunes. Its number of slots has
// two limits: what its server can do, which the supervisor sets, and what is fastest, which
// autotune sets. The smaller one is in force.
var (
	_ supervise.Admission = (*lane)(nil)
	_ autotune.Target     = (*lane)(nil)
)

// Open lets work in: the lane has a server, with this context, that nothing bad is known about.
func (g *lane) Open(contextTokens int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = hold{changed: g.hold.changed}
	g.hold.change()
	g.Context = contextTokens
	g.state, g.detail = pipeline.GPUServing, ""
	g.pace.wake()
}

// Close lets no work in while the lane's server is away, or never again if the GPU is given up.
func (g *lane) Close(state pipeline.GPUState, detail string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold.closed, g.hold.gone = true, state == pipeline.GPUGivenUp
	g.hold.on, g.hold.probing = false, false
	g.hold.change()
	g.state, g.detail = state, cut(detail, maxState)
}

// prepares reports whether the lane's server is on its way to serving.
func (g *lane) prepares() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.Preparing()
}

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
