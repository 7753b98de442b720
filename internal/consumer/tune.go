package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// tune gives a GPU the number of slots that its tuner wants, until ctx ends, and says what was found.
func (g *gpu) tune(ctx context.Context) {
	t := newTuner(g.Slots)
	g.useSlots(t.slots())
	told := 0
	for sleep(ctx, time.Second) {
		t.observe(g.meter.take())
		if _, slots := g.permits.load(); slots != t.slots() {
			g.useSlots(t.slots())
			g.meter.take() // what came in between belongs to neither
			g.log.Debug("trying a number of slots", zap.Int("slots", t.slots()))
		}
		if t.settled() && t.best != told {
			told = t.best
			g.log.Info("the number of slots is found", zap.Int("slots", t.best), zap.Float64("tokens_per_second", t.bestRate), zap.String("compared", t.found()))
		}
	}
}
