package sink

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// PresenceEvery is how often the sink copies the consumers' presence to the store and into its
// metrics.
const PresenceEvery = 15 * time.Second

// watchConsumers keeps in the store who was there and when, so that it is known after they are
// gone.
func (s *Sink) watchConsumers(ctx context.Context) {
	for {
		consumers, err := s.source.Consumers(ctx)
		if err == nil {
			s.cfg.Metrics.saw(consumers)
			if len(consumers) > 0 {
				err = s.ledger.PutConsumers(ctx, consumers)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("copying the consumers' presence", zap.Error(err))
		}
		if !sleep(ctx, PresenceEvery) {
			return
		}
	}
}
