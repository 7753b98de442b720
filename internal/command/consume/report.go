package consume

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/pipeline"
)

// say logs how far each GPU is, once in each period, until the function that it returns is called:
// in the output of a notebook nothing else shows that work goes on. A period of 0 says nothing.
func say(ctx context.Context, period time.Duration, snapshot func() pipeline.Presence, log *zap.Logger) (stop func()) {
	return cli.Every(ctx, period, func() {
		for _, g := range snapshot().GPUs {
			log.Info(g.Describe(), zap.String("gpu", g.Name), zap.Int("busy", g.Busy), zap.Int("slots", g.Slots),
				zap.Int("generations", g.Generations), zap.Int("tokens_per_second", int(g.TokensPerSecond+0.5)))
		}
	})
}
