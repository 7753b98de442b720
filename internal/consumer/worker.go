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
	fatalHold    = 30 * time.Second // how long a GPU rests before it looks whether somebody has mended it
)

// work is one worker: it takes a batch, generates it and releases it, until taking ends. What it holds then may go
// on until working ends.
func (c *Consumer) work(taking, working context.Context, g *gpu) {
	for {
		if g.ready(taking); taking.Err() != nil {
			return
		}
		delivery, err := c.source.Next(taking)
		if taking.Err() != nil {
			if err == nil {
				c.handBack(working, delivery, 0)
			}
			return
		}
		switch {
		case err != nil && pipeline.ClassOf(err) == pipeline.Fatal:
			c.holdBack(g, err)
		case err != nil:
			c.log.Error("taking work", zap.String("gpu", g.Name), zap.Error(err))
			sleep(taking, time.Second)
		case g.held(): // since it was asked for
			c.handBack(working, delivery, jitter(fatalHold))
		default:
			c.batch(working, g, delivery)
		}
	}
}

// holdBack keeps a GPU from taking work, and says why, until it is tried again.
func (c *Consumer) holdBack(g *gpu, why error) {
	if g.hold(fatalHold, why.Error()) {
		c.log.Error("this GPU takes no work until that is mended", zap.String("gpu", g.Name), zap.Error(why), zap.Duration("next_try", fatalHold))
	}
}

// batch takes a delivery to its end: everything is published and the message acknowledged, or it is handed back.
func (c *Consumer) batch(ctx context.Context, g *gpu, delivery pipeline.Delivery[pipeline.Work]) {
	if delivery.Err != nil {
		c.log.Error("a work message cannot be read; is this program older than the producer?",
			zap.String("subject", delivery.Subject), zap.Error(delivery.Err))
		c.handBack(ctx, delivery, maxHandBack)
		return
	}
	stop := c.keep(ctx, delivery)
	results, failure := c.answers(ctx, g, delivery.Body)
	// The grace may end meanwhile, or be over: what is finished is still worth publishing.
	ctx, cancel := withGrace(ctx, publishGrace)
	defer cancel()
	if len(results.Results) > 0 {
		if err := c.out.PublishResults(ctx, results); err != nil {
			c.log.Error("publishing results", zap.String("batch", results.ID()), zap.String("gpu", g.Name), zap.Error(err))
			if ctx.Err() != nil {
				err = &pipeline.Failure{Class: pipeline.Interrupted, Err: err}
			}
			failure = worse(failure, err)
		}
	}
	stop() // before the message is released: a renewal that comes later would change how long it rests
	if failure != nil {
		c.giveUp(ctx, g, delivery, failure)
		return
	}
	if err := delivery.Ack(ctx); err != nil {
		// The results are out; whoever gets the batch again generates it in vain, and the sink ignores that.
		c.log.Warn("acknowledging a batch", zap.String("batch", results.ID()), zap.String("gpu", g.Name), zap.Error(err))
	}
}

// answers generates a batch. It returns what could be generated, and the failure that decides about the rest.
func (c *Consumer) answers(ctx context.Context, g *gpu, work pipeline.Work) (results pipeline.Results, failure error) {
	log := c.log.With(zap.String("batch", work.ID()), zap.String("gpu", g.Name))
	results = pipeline.Results{Run: work.Run, UID: work.UID, Batch: work.Batch, Round: work.Round, Consumer: c.cfg.Identity.ID, GPU: g.Name}
	for _, generation := range work.Generations {
		result, err := g.generate(ctx, work, generation)
		if err == nil {
			results.Results = append(results.Results, result)
			continue
		}
		failure = worse(failure, err)
		class := pipeline.ClassOf(err)
		log.Debug("no answer", zap.Int("generation", generation.Index), zap.String("class", string(class)), zap.Error(err))
		if class == pipeline.Interrupted || class == pipeline.Fatal {
			break
		}
	}
	return results, failure
}

// giveUp hands a batch back for which this GPU has no answer, after a delay that grows with each delivery.
func (c *Consumer) giveUp(ctx context.Context, g *gpu, delivery pipeline.Delivery[pipeline.Work], failure error) {
	class := pipeline.ClassOf(failure)
	log := c.log.With(zap.String("batch", delivery.Body.ID()), zap.String("gpu", g.Name), zap.String("class", string(class)))
	switch class {
	case pipeline.Interrupted:
		g.setCut()
		c.handBack(ctx, delivery, 0)
	case pipeline.Fatal:
		c.holdBack(g, failure)
		c.handBack(ctx, delivery, jitter(fatalHold))
	default:
		delay := jitter(min(c.cfg.HandBack<<min(max(delivery.Deliveries-1, 0), 10), maxHandBack))
		log.Warn("handing a batch back", zap.Int("deliveries", delivery.Deliveries), zap.Duration("delay", delay), zap.Error(failure))
		c.handBack(ctx, delivery, delay)
	}
}

func (c *Consumer) handBack(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], delay time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishGrace)
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
	rank := map[pipeline.Class]int{pipeline.Interrupted: 2, pipeline.Fatal: 1}
	if a == nil || rank[pipeline.ClassOf(b)] > rank[pipeline.ClassOf(a)] {
		return b
	}
	return a
}

// jitter returns d, more or less 10 %, so that many do not act in the same moment.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
