package consumer

import (
	"time"

	"go.uber.org/zap"

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
	c.sayDifferences()
	for _, l := range c.lanes {
		l.model.Judge()
		l.breaker.Wake()
		l.compareContext()
	}
}

// sayDifferences says once in the log what differs between the models of the lanes, and what is odd
// about a server. None of that keeps a GPU from work: only one digest does, if the run has another.
func (c *Consumer) sayDifferences() {
	first := c.lanes[0].model.Known()
	for _, l := range c.lanes {
		model := l.model.Known()
		switch {
		case differ(model.Digest, first.Digest):
			l.sayOnce("the GPUs have different models under one name: those work whose model is that of the run's first answer",
				zap.String("digest", pipeline.ShortDigest(model.Digest)), zap.String("digest_of_"+c.lanes[0].id.GPU, pipeline.ShortDigest(first.Digest)))
		case differ(model.Template, first.Template):
			l.sayOnce("the template or the parameters of the model differ between GPUs, so their answers may differ, too", zap.String("other_gpu", c.lanes[0].id.GPU))
		}
		if model.Note != "" {
			l.sayOnce(model.Note, zap.String("server_version", model.ServerVersion))
		}
	}
}

// maxSaid is how many different things a lane says once. A server writes a part of them, and may
// have another version whenever it is asked.
const maxSaid = 64

// sayOnce warns of what need not be said again.
func (l *lane) sayOnce(what string, fields ...zap.Field) {
	l.mu.Lock()
	isNew := !l.said[what] && len(l.said) < maxSaid
	if isNew {
		if l.said == nil {
			l.said = map[string]bool{}
		}
		l.said[what] = true
	}
	l.mu.Unlock()
	if isNew {
		l.log.Warn(what, fields...)
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
		if l != than && l.breaker.Closed() {
			return true
		}
		if l.breaker.SeenServing() {
			own++
		}
	}
	return c.run.Info().Lanes > own
}

// askAgain returns the time until the queue is asked about the run again.
func (c *Consumer) askAgain(info pipeline.RunInfo) time.Duration {
	every := AskEvery
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
