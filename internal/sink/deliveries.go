package sink

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// acknowledge removes from the stream what is stored. A message whose ack is lost is delivered
// again and changes nothing.
func acknowledge[T any](ctx context.Context, log *zap.Logger, deliveries []pipeline.Delivery[T]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(16) // round trips at a time
	for _, d := range deliveries {
		group.Go(func() error { return d.Ack(ctx) })
	}
	if err := group.Wait(); err != nil {
		log.Debug("acknowledging messages", zap.Error(err))
	}
}

// renewLeases keeps deliveries from going to another sink while the store takes its time, until the
// returned function is called.
func renewLeases[T any](ctx context.Context, log *zap.Logger, every time.Duration, deliveries []pipeline.Delivery[T]) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for outage.Sleep(ctx, every) == nil {
			for _, d := range deliveries {
				if err := d.Extend(ctx); err != nil && ctx.Err() == nil {
					log.Debug("renewing a lease", zap.String("subject", d.Subject), zap.Error(err))
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
