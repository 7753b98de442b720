package consumer

import (
	"time"

	"gleaner/internal/pipeline"
)

// tellOthers has the presence go out at once.
func (c *Consumer) tellOthers() {
	select {
	case c.news <- struct{}{}:
	default: // it will anyway
	}
}

// tellAndAsk does that, and asks what the queue knows of the others.
func (c *Consumer) tellAndAsk() {
	c.tellOthers()
	c.run.AskNow()
}

// judge has the lanes look at what is known of the run.
func (c *Consumer) judge() {
	for _, l := range c.lanes {
		l.model.Judge()
		l.breaker.Wake()
		l.compareContext()
	}
}

// others returns the lanes besides one.
func (c *Consumer) others(than *lane) (others []*lane) {
	for _, l := range c.lanes {
		if l != than {
			others = append(others, l)
		}
	}
	return others
}

// othersServe reports whether a GPU besides this one is known that serves the run: one of this
// process, or one that the process that follows the run has seen.
func (c *Consumer) othersServe(than *lane) bool {
	own := 0
	for _, l := range c.lanes {
		if l.breaker.Closed() {
			if l != than {
				return true
			}
			own++
		}
	}
	return c.run.Info().Lanes > own
}

// askAgain returns the time until the queue is asked about the run again.
func (c *Consumer) askAgain(info pipeline.RunInfo) time.Duration {
	every := askRun
	for _, l := range c.lanes {
		switch {
		case l.breaker.Blocked():
			every = min(every, askHeld)
		case l.model.Unpinned(info) && l.times.Idle() == 0:
			every = min(every, c.run.PinEvery())
		}
	}
	return every
}
