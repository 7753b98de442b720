package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A WorkQueue hands out work. Next blocks until there is some or ctx ends.
type WorkQueue interface {
	Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error)
}

// A source hands out deliveries and renews their leases.
type source struct {
	queue WorkQueue
	lease time.Duration
	log   *zap.Logger
}

// Next waits for a delivery, or returns an error of the queue or ctx's.
func (s *source) Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error) {
	return s.queue.Next(ctx)
}

// renewLease renews the lease of a delivery until it is released, also after ctx has ended. The
// caller has to go on with the delivery that is returned, and to release it.
func (s *source) renewLease(ctx context.Context, delivery pipeline.Delivery[pipeline.Work]) pipeline.Delivery[pipeline.Work] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var renewal sync.WaitGroup
	receipt := delivery.Receipt
	renewal.Go(func() {
		for outage.Sleep(ctx, outage.Jitter(s.lease/3)) == nil {
			if err := receipt.Extend(ctx); err != nil && ctx.Err() == nil {
				s.log.Debug("renewing a lease", zap.String("subject", delivery.Subject), zap.Error(err))
			}
		}
	})
	delivery.Receipt = renewed{receipt, func() { cancel(); renewal.Wait() }}
	return delivery
}

// renewed is a receipt whose lease is renewed until it is used: a renewal that came after a
// hand-back would undo the delay.
type renewed struct {
	pipeline.Receipt
	stop func() // returns when no renewal is under way any more; may be called again
}

func (r renewed) Ack(ctx context.Context) error {
	r.stop()
	return r.Receipt.Ack(ctx)
}

func (r renewed) HandBack(ctx context.Context, delay time.Duration) error {
	r.stop()
	return r.Receipt.HandBack(ctx, delay)
}

func (r renewed) Reject(ctx context.Context, reason string) error {
	r.stop()
	return r.Receipt.Reject(ctx, reason)
}
