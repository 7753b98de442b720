package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	look     = time.Second      // how often it is looked whether it is time to end
	askEvery = 15 * time.Second // how often a consumer without work asks whether the run is complete
)

// Why a consumer ends by itself.
var (
	errDeadline = errors.New("the deadline is here")
	errComplete = errors.New("the run is complete")
	errIdle     = errors.New("there was no work")
)

// reserve returns what is kept of the time until the deadline for publishing and handing back
// what is left.
func reserve(left time.Duration) time.Duration { return min(max(left/20, 0), 15*time.Second) }

// watch ends taking, by calling leave, when the run is complete or there was no work for too long.
func (c *Consumer) watch(ctx context.Context, leave func(cause error)) {
	var asked time.Time
	for sleep(ctx, look) {
		idle := c.idle()
		switch {
		case c.cfg.IdleExit > 0 && idle >= c.cfg.IdleExit:
			leave(c.whyIdle(idle))
			return
		case c.cfg.Complete == nil || idle < look || time.Since(asked) < askEvery:
			continue
		}
		asked = time.Now()
		complete, err := c.cfg.Complete(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Debug("asking whether the run is complete", zap.Error(err))
		}
		if complete && err == nil && c.idle() >= look {
			leave(errComplete)
			return
		}
	}
}

// idle returns for how long no GPU had a batch. One whose server is on its way to its first word
// is not idle: a model may take longer to come than a consumer waits for work.
func (c *Consumer) idle() time.Duration {
	idle := c.lanes[0].pace.idle()
	for _, g := range c.lanes {
		if g.supervisor != nil && g.prepares() {
			return 0
		}
		idle = min(idle, g.pace.idle())
	}
	return idle
}

// whyIdle tells a queue without work from GPUs that cannot take any.
func (c *Consumer) whyIdle(idle time.Duration) error {
	for _, g := range c.lanes {
		if !g.held(false) {
			return errIdle
		}
	}
	return fmt.Errorf("no GPU could work for %s, the first one says: %s", idle.Round(time.Second), c.lanes[0].snapshot().Describe())
}

// retire ends taking for a GPU when even a batch that has the GPU to itself would not end in time
// any more.
func (c *Consumer) retire(ctx context.Context, g *lane, leave func(cause error)) {
	for {
		_, slots := g.permits.load()
		need := g.pace.shortest(slots)
		wait := time.Until(c.cutoff) - need
		if wait <= 0 {
			g.log.Info("the deadline is near: no more work is taken", zap.Duration("left", time.Until(c.cfg.Deadline).Round(time.Second)),
				zap.Duration("a_batch_takes", need.Round(time.Millisecond)))
			leave(errDeadline)
			return
		}
		if !sleep(ctx, min(wait, look)) {
			return
		}
	}
}
