package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

const (
	publishGrace = 10 * time.Second // what publishing and handing back may take once the grace is over
	maxHandBack  = 15 * time.Minute
)

// work is one worker: it takes a batch, generates it and releases it, until taking ends. What it
// holds then may go on until working ends.
func (c *Consumer) work(taking, working context.Context, g *lane) {
	for again := true; again && g.hands.enter(taking, false) == nil; {
		again = c.turn(taking, working, g)
		g.hands.leave()
	}
}

// turn does one batch, if it gets one, and reports whether the worker is to go on.
func (c *Consumer) turn(taking, working context.Context, g *lane) bool {
	looks := g.ready(taking)
	if looks {
		if err := g.answers(taking); err != nil && taking.Err() == nil {
			g.holdBack(err)
			return true
		}
		g.setState(pipeline.GPUProbing, "")
	}
	if taking.Err() != nil || !g.ask(c.cutoff) {
		if looks {
			g.looked()
		}
		return false
	}
	delivery, err := c.source.Next(taking)
	held := g.held(looks)
	end, fits := g.begin(c.cutoff, err == nil && !held && taking.Err() == nil)
	goesOn := true
	switch {
	case taking.Err() != nil:
		if err == nil {
			c.handBack(working, delivery, 0)
		}
		goesOn = false
	case err != nil && pipeline.ClassOf(err) == pipeline.Fatal:
		g.holdBack(err)
	case err != nil:
		g.log.Error("taking work", zap.Error(err))
		sleep(taking, time.Second)
	case held: // since it was asked for
		c.handBack(working, delivery, jitter(c.cfg.Rest))
	case !fits: // it came late
		c.handBack(working, delivery, 0)
		goesOn = false
	default:
		end(c.batch(working, g, delivery))
	}
	if looks {
		g.looked()
	}
	return goesOn
}

// batch takes a delivery to its end: everything is published and the message acknowledged, or it
// is handed back. It reports whether the batch is done.
func (c *Consumer) batch(ctx context.Context, g *lane, delivery pipeline.Delivery[pipeline.Work]) bool {
	if delivery.Err != nil {
		c.unreadable(ctx, g, delivery)
		return false
	}
	stop := c.keep(ctx, delivery)
	o := c.run(ctx, g, delivery)
	// The grace may end meanwhile, or be over: what is finished is still worth publishing.
	ctx, cancel := withGrace(ctx, c.afterwards)
	defer cancel()
	failure := c.publish(ctx, g, delivery, o)
	stop() // before the message is released: a renewal that comes later would change how long it rests
	if failure != nil {
		c.giveUp(ctx, g, delivery, failure)
		return false
	}
	if err := delivery.Ack(ctx); err != nil {
		// All is out; whoever gets the batch again generates it in vain, and the sink ignores that.
		g.log.Warn("acknowledging a batch", zap.String("batch", delivery.Body.ID()), zap.Error(err))
	}
	return true
}

// unreadable hands a message back that this program cannot read: perhaps another one can, which
// is newer. After as many deliveries as a batch may have it is removed. The ledger knows what was
// in it, and that it is nowhere.
func (c *Consumer) unreadable(ctx context.Context, g *lane, delivery pipeline.Delivery[pipeline.Work]) {
	about := []zap.Field{zap.String("subject", delivery.Subject), zap.Int("deliveries", delivery.Deliveries), zap.Error(delivery.Err)}
	if delivery.Deliveries <= maxDeliveries {
		delay := c.rest(delivery)
		g.log.Error("a work message cannot be read and goes back; is this program older than the producer?", append(about, zap.Duration("delay", delay))...)
		c.handBack(ctx, delivery, delay)
		return
	}
	g.log.Error("a work message that nobody could read is removed from the queue: `producer publish --follow` publishes its batch anew "+
		"from the ledger; if that one cannot be read either, use consumers of the producer's version", about...)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishGrace)
	defer cancel()
	if err := delivery.Reject(ctx, delivery.Err.Error()); err != nil && !errors.Is(err, pipeline.ErrLeaseLost) {
		g.log.Warn("removing a work message", zap.String("subject", delivery.Subject), zap.Error(err))
	}
}

// rest returns how long a message that is handed back rests, which grows with each delivery.
func (c *Consumer) rest(delivery pipeline.Delivery[pipeline.Work]) time.Duration {
	return jitter(min(c.cfg.Rest<<min(max(delivery.Deliveries-1, 0), 10), maxHandBack))
}

// giveUp hands a batch back for which this GPU has no answer, after a delay that grows with each
// delivery.
func (c *Consumer) giveUp(ctx context.Context, g *lane, delivery pipeline.Delivery[pipeline.Work], failure error) {
	class := pipeline.ClassOf(failure)
	switch class {
	case pipeline.Interrupted:
		if errors.Is(failure, errDeadline) {
			g.log.Info("a batch did not end before the deadline and goes back", zap.String("batch", delivery.Body.ID()))
		} else {
			g.setCut()
		}
		c.handBack(ctx, delivery, 0)
	case pipeline.Fatal:
		g.holdBack(failure)
		c.handBack(ctx, delivery, jitter(c.cfg.Rest))
	default:
		if errors.Is(failure, errAway) {
			g.holdBack(failure)
		}
		delay := c.rest(delivery)
		g.log.Warn("handing a batch back", zap.String("batch", delivery.Body.ID()), zap.String("class", string(class)),
			zap.Int("deliveries", delivery.Deliveries), zap.Duration("delay", delay), zap.Error(failure))
		c.handBack(ctx, delivery, delay)
	}
}

func (c *Consumer) handBack(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], delay time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.afterwards)
	defer cancel()
	if err := delivery.HandBack(ctx, delay); err != nil && !errors.Is(err, pipeline.ErrLeaseLost) {
		c.log.Warn("handing a batch back", zap.String("subject", delivery.Subject), zap.Error(err))
	}
}

// keep renews the lease of a delivery until the returned function is called.
func (c *Consumer) keep(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() {
		for sleep(ctx, jitter(c.cfg.Lease/3)) {
			if err := delivery.Extend(ctx); err != nil && ctx.Err() == nil {
				c.log.Debug("renewing a lease", zap.String("subject", delivery.Subject), zap.Error(err))
			}
		}
	})
	return func() { cancel(); keeper.Wait() }
}

// worse returns the failure that decides what becomes of the batch.
func worse(a, b error) error {
	if a == nil || gravity(b) > gravity(a) {
		return b
	}
	return a
}

func gravity(err error) int {
	switch class := pipeline.ClassOf(err); {
	case class == pipeline.Interrupted:
		return 3
	case class == pipeline.Fatal:
		return 2
	case errors.Is(err, errAway):
		return 1
	}
	return 0
}

// jitter returns d, more or less 10 %, so that many do not act in the same moment.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
