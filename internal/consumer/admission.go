package consumer

import (
	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// What the rest of the consumer sees of a lane: its supervisor opens and closes it, and autotune
// tunes it. Its number of slots has two limits: what its server can do, which the supervisor sets,
// and what is fastest, which autotune sets. The smaller one is in force.
var (
	_ supervise.Admission = (*lane)(nil)
	_ autotune.Target     = (*lane)(nil)
)

// Open lets work in: the lane has a server, with this context, about which nothing bad is known.
func (l *lane) Open(contextTokens int) {
	l.mu.Lock()
	l.context = contextTokens
	l.mu.Unlock()
	l.compareContext()
	l.restart()
	l.times.Wake()
	l.breaker.Resume()
}

// restart forgets the row of verdicts and the doubt that follows from it: the lane's server is a
// new one.
func (l *lane) restart() {
	l.record.Restart()
	l.resize()
	l.breaker.EndDoubt()
}

// Close lets no work in while the lane's server is away, or never again if the GPU is given up.
func (l *lane) Close(state pipeline.GPUState, detail string) {
	l.breaker.Suspend(state, detail, state == pipeline.GPUGivenUp)
}

// UseSlots changes how many generations run at a time, as far as the server can do that many.
// What runs goes on.
func (l *lane) UseSlots(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wantedSlots = n
	l.setLimits()
}

// LimitSlots sets how many generations at a time the next server can do.
func (l *lane) LimitSlots(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serverSlots = n
	l.setLimits()
}

// MaxSlots returns how many generations at a time the server can do.
func (l *lane) MaxSlots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serverSlots
}

// Slots returns how many generations may run at a time.
func (l *lane) Slots() int {
	_, slots := l.slots.InUse()
	return slots
}
