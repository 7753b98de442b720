package sink

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// PresenceEvery is how often the sink copies the consumers' presence to the store and into its
// metrics.
const PresenceEvery = 15 * time.Second

// watchConsumers writes to the store which consumers are there and when, so that this is known
// after they are gone, and names those whose answers are refused because they are too old.
func (s *Sink) watchConsumers(ctx context.Context) {
	for {
		consumers, err := s.source.Consumers(ctx)
		if err == nil {
			var more int
			consumers, more = pipeline.Shown(consumers)
			s.cfg.Metrics.saw(consumers, more)
			if len(consumers) > 0 {
				err = errors.Join(s.store.PutConsumers(ctx, consumers), s.tooOld.name(ctx, consumers))
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("copying the consumers' presence", zap.Error(err))
		}
		if outage.Sleep(ctx, PresenceEvery) != nil {
			return
		}
	}
}
