package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A WorkQueue hands out work to the workers of one GPU. Next blocks until there is some or ctx
// ends.
type WorkQueue interface {
	Next(ctx context.Context) (pipeline.Delivery[pipeline.Work], error)
}

// A source hands out deliveries to one GPU and renews their leases.
type source struct {
	queue WorkQueue
	lease time.Duration
	log   *zap.Logger
}

// Next waits for a delivery from the queue, or one that another lane passes on, or returns an error
// of the queue or ctx's. The lease of the delivery is renewed until it is released, also after ctx
// has ended; the caller has to release it.
func (s *source) Next(ctx context.Context, passed <-chan pipeline.Delivery[pipeline.Work]) (pipeline.Delivery[pipeline.Work], error) {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	var other *pipeline.Delivery[pipeline.Work]
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case d := <-passed:
			other = &d
			cancel()
		case <-asking.Done():
		}
	})
	delivery, err := s.queue.Next(asking)
	cancel()
	waiting.Wait()
	switch {
	case other == nil && err == nil:
		return s.renewLease(ctx, delivery), nil
	case other == nil:
		return delivery, err
	case err == nil: // both came at the same moment
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishGrace)
		defer cancel()
		if err := delivery.HandBack(ctx, 0); err != nil {
			s.log.Debug("handing a batch back", zap.String("subject", delivery.Subject), zap.Error(err))
		}
	}
	return *other, nil
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
