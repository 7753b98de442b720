package autotune

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
)

const (
	observeEvery = time.Second

	// noTrials is the time before the end of work in which no other number of slots is tried:
	// batches in hand take longer with fewer slots, and there is little left to gain.
	noTrials = 5 * time.Minute
)

// A Target is a GPU whose number of slots is tuned.
type Target interface {
	// UseSlots sets how many slots are in use, as far as the server has that many.
	UseSlots(n int)
	// Slots returns how many are in use.
	Slots() int
	// MaxSlots returns how many the server has at present.
	MaxSlots() int
}

// Run gives a target the number of slots with which it is fastest, as its meter shows, and logs
// what it finds, until ctx ends or the end of work (zero: none) is near. When the server gets
// another number of slots the search starts over: what was found with the server before says
// little about this one.
func Run(ctx context.Context, target Target, meter *SpeedMeter, end time.Time, log *zap.Logger) {
	t := newTuner(target.MaxSlots())
	target.UseSlots(t.slots())
	logged := 0 // the number of slots in the last line about a search
	for outage.Sleep(ctx, observeEvery) == nil {
		if !end.IsZero() && time.Until(end) < noTrials {
			target.UseSlots(t.best)
			return
		}
		t.observe(meter.Take())
		if most := target.MaxSlots(); most != t.max {
			t, logged = newTuner(most), 0
		}
		if target.Slots() != t.slots() {
			target.UseSlots(t.slots())
			meter.Take() // what came in between belongs to neither number
			log.Debug("trying a number of slots", zap.Int("slots", t.slots()))
		}
		if t.settled() && t.best != logged {
			logged = t.best
			log.Info("measured how many slots are fastest", zap.Int("slots", t.best), zap.Float64("times_as_fast_as_one", t.timesOne()),
				zap.Float64("tokens_per_second", t.bestRate), zap.String("compared", t.describe()))
		}
	}
}
