package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// Why a consumer ends although nothing has stopped it.
var (
	errComplete = errors.New("the run is complete")
	errIdle     = errors.New("there was no work")
)

const (
	checkEvery = time.Second      // between two checks whether it is time to end
	askEvery   = 15 * time.Second // between two questions of a consumer without work whether the run is complete
)

// An idleWatch finds out that there is nothing left to do.
type idleWatch struct {
	lanes []*lane
	exit  time.Duration                                   // after which without work it is time to end; 0: never
	info  func(context.Context) (pipeline.RunInfo, error) // see Config; nil: a complete run is no reason to end
	log   *zap.Logger
}

// Run waits until the run is complete or there was no work for too long, and returns which. It
// returns nil if ctx ends first.
func (w *idleWatch) Run(ctx context.Context) (cause error) {
	var asked time.Time
	for outage.Sleep(ctx, checkEvery) == nil {
		idle := w.idle()
		switch {
		case w.exit > 0 && idle >= w.exit:
			return w.why(idle)
		case w.info == nil || idle < checkEvery || time.Since(asked) < askEvery:
			continue
		}
		asked = time.Now()
		info, err := w.info(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Debug("asking whether the run is complete", zap.Error(err))
		}
		if info.Complete && err == nil && w.idle() >= checkEvery {
			return errComplete
		}
	}
	return nil
}

// idle returns for how long no lane had a batch.
func (w *idleWatch) idle() time.Duration {
	idle := w.lanes[0].idle()
	for _, l := range w.lanes {
		idle = min(idle, l.idle())
	}
	return idle
}

// why tells a queue without work from GPUs that cannot take any.
func (w *idleWatch) why(idle time.Duration) error {
	for _, l := range w.lanes {
		if l.breaker.Closed() {
			return errIdle
		}
	}
	return fmt.Errorf("no GPU could work for %s, the first one says: %s", idle.Round(time.Second), w.lanes[0].status().Describe())
}

// idle returns for how long the lane had no batch. One whose server is on its way to serving is not
// idle: a model may take longer to come than a consumer waits for work.
func (l *lane) idle() time.Duration {
	if state, _ := l.breaker.State(); l.supervisor != nil && state.Preparing() {
		return 0
	}
	return l.times.Idle()
}
