package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	publishGrace = 10 * time.Second // what publishing and handing back may take once the grace is over

	// A delay that is given to the queue cannot be taken back, so a GPU that comes meanwhile waits.
	maxRest      = 30 * time.Second // of a batch, while another GPU serves the run
	maxRestAlone = time.Minute
	asideRest    = 5 * time.Second // of a batch that only another GPU may take, while none does
)

// An OutcomePublisher takes what was generated, what could not be, and what the consumer reports
// about itself. It waits, until ctx ends, while a stream is full.
type OutcomePublisher interface {
	PublishResults(ctx context.Context, results pipeline.Results) error
	PublishDeadLetter(ctx context.Context, letter pipeline.DeadLetter) error
	PutPresence(ctx context.Context, consumer pipeline.Presence) error
}

// A collector takes the deliveries of one lane to their end: it publishes what came of a batch,
// and acknowledges the batch or hands it back.
type collector struct {
	publisher OutcomePublisher
	lane      *lane
	rest      time.Duration // before another delivery of a batch that failed, the first time
	grace     time.Duration // what publishing and handing back may take once the work has been cut
	log       *zap.Logger

	cut     atomic.Bool // a stop has cut a batch
	unacked atomic.Bool // the last acknowledgement failed, which was logged
	failed  sync.Map    // classes of which a dead letter was logged
}

// Collect takes a delivery to its end and reports whether the batch is done:
//
//  1. publish the results that there are,
//  2. publish one dead letter, if every generation has an outcome and some have failed,
//  3. acknowledge the batch, if all that was published; otherwise hand it back.
//
// If ctx has ended, or ends meanwhile, what is finished is still worth publishing: there is the
// grace for that.
func (c *collector) Collect(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], o *outcome) (done bool) {
	ctx, cancel := outage.WithGrace(ctx, c.grace)
	defer cancel()
	if len(o.results)+len(o.failures) > 0 && delivery.Deliveries <= maxDeliveries {
		if err := c.lane.confirm(ctx, o); err != nil {
			o.setAside(err)
		}
	}
	if failure := c.publish(ctx, delivery, o); failure != nil {
		c.handBackFailed(ctx, delivery, failure)
		return false
	}
	if err := delivery.Ack(ctx); err != nil {
		// Everything is published; another consumer generates it again, and the sink ignores that.
		level := zap.WarnLevel
		if c.unacked.Swap(true) || errors.Is(err, pipeline.ErrNoRun) { // a cancelled or deleted run wants none
			level = zap.DebugLevel
		}
		c.log.Log(level, "acknowledging a batch", zap.String("batch", delivery.Body.ID()), zap.Error(err))
		return true
	}
	c.unacked.Store(false)
	return true
}

// publish returns what keeps the batch from being done.
func (c *collector) publish(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], o *outcome) error {
	work := delivery.Body
	if len(o.results) > 0 {
		err := c.publisher.PublishResults(ctx, pipeline.Results{
			Run: work.Run, UID: work.UID, Batch: work.Batch, Round: work.Round, Token: work.Token, Consumer: c.lane.id.Consumer, GPU: c.lane.id.GPU,
			Engine: o.model.Engine, Digest: digestOf(o.model), Results: o.results,
		})
		if tooLarge := new(pipeline.SizeError); errors.As(err, &tooLarge) && len(tooLarge.Indexes) > 0 { // all others are published
			o.dropTooLarge(work, c.lane.id, tooLarge)
			err = nil
		}
		if err != nil {
			return graver(o.open, c.unpublished(ctx, "publishing results", work, err))
		}
		if c.lane.record.Stored(o.begun) {
			c.lane.breaker.EndDoubt()
		}
	}
	if o.open != nil || len(o.failures)+len(work.Final) == 0 {
		return o.open
	}
	letter := c.deadLetter(delivery, o)
	if err := c.publisher.PublishDeadLetter(ctx, letter); err != nil {
		return c.unpublished(ctx, "publishing a dead letter", work, err)
	}
	c.sayFailed(letter)
	return nil
}

// sayFailed logs the first dead letter of each class; all others are for finding faults.
func (c *collector) sayFailed(letter pipeline.DeadLetter) {
	level := zap.DebugLevel
	if _, said := c.failed.LoadOrStore(letter.Class, true); !said {
		level = zap.InfoLevel
	}
	c.log.Log(level, "some generations have no answer, they are in a dead letter; more of this kind are not logged", zap.String("batch", letter.ID()),
		zap.Int("generations", len(letter.Failures)), zap.String("class", string(letter.Class)), zap.String("message", letter.Message))
}

func (c *collector) unpublished(ctx context.Context, what string, work pipeline.Work, err error) error {
	c.log.Error(what, zap.String("batch", work.ID()), zap.Error(err))
	if ctx.Err() != nil {
		return &pipeline.Failure{Class: pipeline.Interrupted, Err: err}
	}
	return err
}

// handBackFailed hands a batch back because of a failure, as the failure's class says: at once, or
// after a delay that grows with each delivery, or after one within which this GPU may be mended.
func (c *collector) handBackFailed(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], failure error) {
	batch := zap.String("batch", delivery.Body.ID())
	if opensBreaker(failure) {
		c.lane.breaker.Trip(failure)
	}
	switch {
	case isInterruption(failure):
		if errors.Is(failure, errDeadline) {
			c.log.Debug("a batch did not end before the deadline and goes back", batch)
		} else {
			c.cut.Store(true)
		}
		c.HandBack(ctx, delivery, 0)
	case errors.Is(failure, errSetAside):
		c.Refuse(ctx, delivery, failure)
	case needsPerson(failure):
		c.handBackLater(ctx, delivery, c.holdRest(), pipeline.Brief(failure))
	default:
		delay := c.delay(delivery)
		c.log.Warn("handing a batch back", batch, zap.String("class", string(pipeline.ClassOf(failure))),
			zap.Int("deliveries", delivery.Deliveries), zap.Duration("delay", delay), zap.Error(failure))
		c.handBackLater(ctx, delivery, delay, pipeline.Brief(failure))
	}
}

// Refuse hands back a batch that the lane must not work on, or may not at present: at once if
// another GPU may take it. Stopped is why the lane must not; nil: it only is not able to.
func (c *collector) Refuse(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], stopped error) {
	delay := c.holdRest()
	if stopped != nil {
		c.log.Debug("a batch is left to another GPU", zap.String("subject", delivery.Subject), zap.NamedError("because", stopped))
		if delay = outage.Jitter(asideRest); c.lane.breaker.othersServe() {
			delay = 0
		}
	}
	c.HandBack(ctx, delivery, delay)
}

// holdRest returns how long a batch rests that this GPU cannot do until it is mended.
func (c *collector) holdRest() time.Duration { return outage.Jitter(min(c.rest, c.longestRest())) }

// longestRest returns how long a batch rests at most.
func (c *collector) longestRest() time.Duration {
	if c.lane.breaker.othersServe() {
		return maxRest
	}
	return maxRestAlone
}

// HandBack hands a delivery back, also if ctx has ended.
func (c *collector) HandBack(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], delay time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.grace)
	defer cancel()
	if err := delivery.HandBack(ctx, delay); err != nil && !isMoot(err) {
		c.log.Warn("handing a batch back", zap.String("subject", delivery.Subject), zap.Error(err))
	}
}

// isMoot reports whether a batch is not this consumer's to settle any more.
func isMoot(err error) bool {
	return errors.Is(err, pipeline.ErrLeaseLost) || errors.Is(err, pipeline.ErrNoRun)
}

// handBackLater hands a delivery back that is to rest, and shows people that it does and why.
func (c *collector) handBackLater(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], delay time.Duration, because string) {
	c.lane.rests.Add(delivery.Body.Batch, delay, because)
	c.HandBack(ctx, delivery, delay)
}

// delay returns how long a message that is handed back rests, which grows with each delivery.
func (c *collector) delay(delivery pipeline.Delivery[pipeline.Work]) time.Duration {
	return outage.Jitter(min(c.rest<<min(max(delivery.Deliveries-1, 0), 10), c.longestRest()))
}

// Unreadable hands a message back that this program cannot read: perhaps a newer one can. After as
// many deliveries as a batch may have it is removed. The store knows what was in it, and that it is
// nowhere.
func (c *collector) Unreadable(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) {
	about := []zap.Field{zap.String("subject", delivery.Subject), zap.Int("deliveries", delivery.Deliveries), zap.Error(delivery.Err)}
	if delivery.Deliveries <= maxDeliveries {
		delay := c.delay(delivery)
		c.log.Error("a work message cannot be read and goes back; is this program older than the producer?", append(about, zap.Duration("delay", delay))...)
		c.HandBack(ctx, delivery, delay)
		return
	}
	c.log.Error("a work message that no consumer could read is removed from the queue: `"+advice.Command("publish", "--run", c.lane.run.Info().Run, "--follow")+"` publishes its batch again "+
		"from the store; if that one cannot be read either, use consumers of the producer's version", about...)
	c.remove(ctx, delivery, delivery.Err.Error())
}

// remove takes a message off the queue that is of no use, also if ctx has ended.
func (c *collector) remove(ctx context.Context, delivery pipeline.Delivery[pipeline.Work], reason string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishGrace)
	defer cancel()
	if err := delivery.Reject(ctx, reason); err != nil && !isMoot(err) {
		c.log.Warn("removing a work message", zap.String("subject", delivery.Subject), zap.Error(err))
	}
}
