package consume

import (
	"cmp"
	"errors"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
)

// endingFlags are the flags that say when the consumer ends by itself.
type endingFlags struct {
	For      time.Duration  `placeholder:"11h40m" help:"End in time for this: take no work that would not end by then, by how long batches took so far, hand back what does not, exit 0."`
	Until    string         `placeholder:"TIME" help:"The same for a time of day, such as 07:30, or a date with time, such as 2026-03-01T07:30:00Z."`
	IdleExit *time.Duration `name:"idle-exit" placeholder:"10m" help:"End after this long without work, if none may come: what waits, rests or is held by others may. 0: never. Default: 10m with --gpus, for an idle notebook burns its quota, else never."`
	Stay     bool           `help:"Do not end when the run is complete."`
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
	because := "--for"
	if e.Until != "" {
		because = "--until"
	}
	log.Info("it will end by itself", zap.String("at", deadline.In(now.Location()).Format("2006-01-02 15:04:05 MST")),
		zap.Duration("in", deadline.Sub(now).Round(time.Second)), zap.String("because_of", because))
}

// deadline returns when the consumer has to have ended, or zero.
func (e endingFlags) deadline(now time.Time) (time.Time, error) {
	switch {
	case e.For != 0 && e.Until != "":
		return time.Time{}, cli.Usage("--for and --until say the same: give one of them")
	case e.For < 0 || e.IdleExit != nil && *e.IdleExit < 0:
		return time.Time{}, cli.Usage("--for %s and --idle-exit %s must not be negative", e.For, *cmp.Or(e.IdleExit, new(time.Duration)))
	case e.For > 0:
		return now.Add(e.For), nil
	case e.Until == "":
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, e.Until); err == nil {
		if !at.After(now) {
			return time.Time{}, cli.Usage("--until %s is over", e.Until)
		}
		return at, nil
	}
	clock, err := time.Parse("15:04", e.Until)
	if err != nil {
		return time.Time{}, cli.Usage("--until %q is neither a time such as 07:30 nor one such as 2026-03-01T07:30:00Z", e.Until)
	}
	at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
	if !at.After(now) {
		at = time.Date(now.Year(), now.Month(), now.Day()+1, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	return at, nil
}
