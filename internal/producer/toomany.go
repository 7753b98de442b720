package producer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// A FailureLimit says when so much of a run fails that it is paused. It counts what has come to its
// end since the run is followed, so that what failed before pauses nothing again. The zero value is
// the default: the first 20 have all failed, or half of the first 200 have.
type FailureLimit struct {
	Off     bool
	Count   int // failed generations; 0: not limited so
	Percent int // of all that ended, once there are leastOutcomes; 0: not limited so
}

// Bounds of the default limit.
const (
	leastOutcomes = 20  // less says little about all others
	firstOutcomes = 200 // whose failures are judged once
)

// ParseFailureLimit reads a limit: a number of generations, a percentage such as 30%, off, or
// nothing for the default.
func ParseFailureLimit(s string) (FailureLimit, error) {
	if s == "" || s == "off" {
		return FailureLimit{Off: s == "off"}, nil
	}
	number, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	switch {
	case err != nil || n < 1 || percent && n > 100:
		return FailureLimit{}, fmt.Errorf("%q is no limit: give a number of generations, a percentage such as 30%%, or off", s)
	case percent:
		return FailureLimit{Percent: n}, nil
	}
	return FailureLimit{Count: n}, nil
}

// exceeded reports whether this many failures of this many outcomes are too many.
func (l FailureLimit) exceeded(failed, outcomes int) bool {
	switch {
	case l.Count > 0:
		return failed >= l.Count
	case l.Percent > 0:
		return outcomes >= leastOutcomes && 100*failed >= l.Percent*outcomes
	}
	return outcomes >= leastOutcomes && failed == outcomes || failed >= firstOutcomes/2 && 2*failed >= outcomes
}

// A TooManyFailures is the error of following a run that is paused because too much of it fails.
// Nothing of it is given up, and its answers stay.
type TooManyFailures struct {
	Run              string
	Failed, Outcomes int // since it was followed
}

func (e *TooManyFailures) Error() string {
	return fmt.Sprintf("run %s is paused: %s", e.Run, e.Reason())
}

// Reason says why, without the run.
func (e *TooManyFailures) Reason() string {
	return fmt.Sprintf("%d of %d generations failed", e.Failed, e.Outcomes)
}

// An outcomeCount counts how many generations of a run have ended since it was first asked, or
// since the run goes on after a pause.
type outcomeCount struct {
	limit  FailureLimit
	stored int // at first
	failed int // the fewest that there were: a redrive takes failures back
	asked  bool
	judged bool // by the default limit, which is about the first ones
}

// see takes in how far the run is, and returns how much failed if that is too much. What was stored
// and failed while no one looked is judged as if it had come in the same proportion.
func (c *outcomeCount) see(p pipeline.Progress, paused bool) (failed, outcomes int, tooMany bool) {
	if paused { // what comes until it goes on was handed out before
		c.asked = false
		return 0, 0, false
	}
	if !c.asked {
		c.stored, c.failed, c.asked = p.Stored, p.Failed, true
	}
	c.failed = min(c.failed, p.Failed)
	failed = p.Failed - c.failed
	outcomes = failed + max(0, p.Stored-c.stored)
	if c.limit.Off || c.judged || p.Complete() { // one that is at its end needs no pause
		return failed, outcomes, false
	}
	tooMany = c.limit.exceeded(failed, outcomes)
	c.judged = c.limit == FailureLimit{} && outcomes >= firstOutcomes
	return failed, outcomes, tooMany
}

// limited follows a run with follow, and pauses it once too much of it fails.
func (p *Publisher) limited(ctx context.Context, run pipeline.Run, watch func(Look), follow func(context.Context, func(Look)) (pipeline.Progress, error)) (pipeline.Progress, error) {
	if p.cfg.MaxFailures.Off || p.cfg.PauseRun == nil {
		return follow(ctx, watch)
	}
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	count := outcomeCount{limit: p.cfg.MaxFailures}
	final, err := follow(following, func(now Look) {
		if watch != nil {
			watch(now)
		}
		if failed, outcomes, tooMany := count.see(now.Progress, now.Run.Paused()); tooMany {
			stop(&TooManyFailures{run.Name, failed, outcomes})
		}
	})
	var tooMany *TooManyFailures
	if err == nil || ctx.Err() != nil || !errors.As(context.Cause(following), &tooMany) {
		return final, err
	}
	loop := outage.Loop{Log: p.log, Away: "cannot pause the run, of which too much fails; trying again until it works", Back: "the run can be paused", Stops: p.looks.Ends}
	if err := loop.Do(ctx, func(ctx context.Context) error {
		return p.cfg.PauseRun(ctx, run, pipeline.PausedByFailures, tooMany.Reason())
	}); err != nil {
		return final, fmt.Errorf("%s; pausing it: %w", tooMany.Reason(), err)
	}
	return final, tooMany
}
