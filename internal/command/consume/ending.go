package consume

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
)

// endingFlags are the flags that say when the consumer ends by itself.
type endingFlags struct {
	cli.EndFlags `embed:""`
	IdleExit     *time.Duration `name:"idle-exit" placeholder:"10m" help:"End after this long without work, if none may come: what waits, rests or is held by others may. 0: never. Default: 10m with --gpus, for an idle notebook burns its quota, else never."`
	Stay         bool           `help:"Do not end when the run is complete."`
}

// ended says why there is nothing to do, which is no failure. Other errors it returns.
func ended(log *zap.Logger, err error) error {
	if errors.Is(err, consumer.ErrNothingToDo) || errors.Is(err, consumer.ErrRunOver) {
		log.Info("ending", zap.NamedError("because", err))
		return nil
	}
	return err
}

// idleExit returns after how long without work the consumer ends; 0 is never. Own servers are those
// that the consumer starts.
func (e endingFlags) idleExit(ownServers bool) time.Duration {
	switch {
	case e.IdleExit != nil:
		return *e.IdleExit
	case ownServers:
		return 10 * time.Minute
	}
	return 0
}

// sayEnd says when the consumer will have ended, in the time of the place where people read it.
func (e endingFlags) sayEnd(log *zap.Logger, deadline, now time.Time) {
	if deadline.IsZero() {
		return
	}
	log.Info("it will end by itself", zap.String("at", deadline.In(now.Location()).Format("2006-01-02 15:04:05 MST")),
		zap.Duration("in", deadline.Sub(now).Round(time.Second)), zap.String("because_of", e.Because()))
}

// check refuses what makes no sense.
func (e endingFlags) check() error {
	if e.IdleExit != nil && *e.IdleExit < 0 {
		return cli.Usage("--idle-exit %s must not be negative", *e.IdleExit)
	}
	return nil
}
