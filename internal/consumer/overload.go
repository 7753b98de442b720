package consumer

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
)

const (
	wakeEvery   = 20 * time.Millisecond  // the sleep whose lateness is measured
	lookFor     = 500 * time.Millisecond // between two decisions
	tooLate     = 100 * time.Millisecond // the lateness with which slots are taken away
	inTime      = 30 * time.Millisecond  // the lateness with which they are given back
	lagTooLong  = 3 * time.Second        // of answers on their way to the store: the same
	settleTime  = 3 * time.Second        // for what is in progress to end after slots were taken away
	firstSlots  = 64                     // that begin at once, of all GPUs together; the others follow within seconds
	growthParts = 40                     // of all slots: one of them is given back with each decision, near what was too many
)

// overload keeps generating from using up the cores on which answers are also published and stored.
// It measures how late a goroutine of this process wakes up, and where it is known how long answers
// take to the store. Both grow long before the queue or the sink give up. Then fewer slots are
// used, and more again when there is time.
//
// A GPU elsewhere takes next to nothing here, so this matters where many GPUs are simulated, or
// answers come in many small pieces.
type overload struct {
	total int                  // slots of all lanes
	inUse func() int           // of them
	lag   func() time.Duration // see Config
	log   *zap.Logger

	mu      sync.Mutex
	allowed int
	cut     time.Time // when slots were taken away; zero: never
	safe    int       // three quarters of what was too many
	said    bool
}

func newOverload(total int, inUse func() int, lag func() time.Duration, log *zap.Logger) *overload {
	if lag == nil {
		lag = func() time.Duration { return 0 }
	}
	return &overload{total: total, allowed: min(total, firstSlots), inUse: inUse, lag: lag, log: log}
}

// Of returns how many of a lane's slots may be used now: at least one.
func (o *overload) Of(slots int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.allowed >= o.total {
		return slots
	}
	return max(min(slots, 1), slots*o.allowed/o.total)
}

// Run measures and decides until ctx ends, and calls changed when another number may be used. Where
// there are few slots the pieces of their answers take no core: then there is nothing to measure.
func (o *overload) Run(ctx context.Context, changed func()) {
	if o.total <= firstSlots {
		return
	}
	for ctx.Err() == nil {
		late := lateness(ctx)
		if ctx.Err() == nil && o.decide(time.Now(), late, o.lag()) {
			changed()
		}
	}
}

// lateness returns by how much sleeps are longer than they should be: the median over a while.
func lateness(ctx context.Context) time.Duration {
	var late []time.Duration
	for began := time.Now(); time.Since(began) < lookFor; {
		slept := time.Now()
		if outage.Sleep(ctx, wakeEvery) != nil {
			return 0
		}
		late = append(late, time.Since(slept)-wakeEvery)
	}
	slices.Sort(late)
	return late[len(late)/2]
}

// decide sets how many slots may be used, and reports whether that has changed.
func (o *overload) decide(now time.Time, late, lag time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.allowed
	switch {
	case late >= tooLate || lag >= lagTooLong:
		if o.cut.IsZero() || now.Sub(o.cut) >= settleTime {
			o.safe = max(1, o.allowed*3/4)
			o.allowed = max(1, min(o.allowed, o.inUse())*3/4)
			o.cut = now
		}
		if !o.said && o.allowed < before {
			o.said = true
			o.log.Warn("the cores of this machine are used up: fewer slots are used, so that answers still reach the store",
				zap.Int("slots", o.allowed), zap.Int("of", o.total), zap.Duration("everything_is_late_by", late.Round(time.Millisecond)), zap.Duration("stored_after", lag.Round(time.Millisecond)))
		}
	case late > inTime || lag > lagTooLong/2 || o.allowed >= o.total:
	case o.cut.IsZero():
		o.allowed = min(o.total, 2*o.allowed)
	case now.Sub(o.cut) >= settleTime && o.allowed < o.safe:
		o.allowed = min(o.total, o.allowed+max(1, o.allowed/4))
	case now.Sub(o.cut) >= settleTime:
		o.allowed = min(o.total, o.allowed+max(1, o.total/growthParts))
	}
	return o.allowed != before
}
