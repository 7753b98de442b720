package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// undisturbed is the time before the deadline in which no other number of slots is tried: batches
// that are held take longer with fewer slots, and there is little left to gain.
const undisturbed = 5 * time.Minute

// tune gives a GPU the number of slots that its tuner wants, and says what was found, until ctx
// ends or the end of work (zero: none) is near. When the GPU's server has fewer slots than before
// the search begins anew: what was found with the one before says little of this one.
func (g *lane) tune(ctx context.Context, end time.Time) {
	t := newTuner(g.mostSlots())
	g.useSlots(t.slots())
	told := 0
	for sleep(ctx, time.Second) {
		if !end.IsZero() && time.Until(end) < undisturbed {
			g.useSlots(t.best)
			return
		}
		t.observe(g.meter.take())
		if most := g.mostSlots(); most != t.max {
			t, told = newTuner(most), 0
		}
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
