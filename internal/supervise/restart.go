package supervise

import (
	"errors"
	"time"

	"gleaner/internal/pipeline"
)

const (
	maxFailures  = 5           // in a row, after which a GPU is given up
	goodTime     = time.Minute // of service, or this many answers, after which earlier failures are forgotten
	goodAnswers  = 20
	goodGPUTime  = 10 * time.Minute // the same before a failure that is about the GPU itself
	minSlots     = 4                // a server does not get fewer for lack of memory, unless it began with fewer
	memoryErrors = 2                // failures for lack of memory after which the slots are halved
)

// restartDelays are the waits before the first, second, … restart in a row; the last one stays.
func restartDelays() []time.Duration {
	return []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, time.Minute}
}

// A restartPolicy decides what follows the failure of a server, from what is known of the GPU's
// servers before it. The zero value is ready.
type restartPolicy struct {
	failures int // in a row
	memory   int // the ones of them for lack of memory, since the slots were last changed
}

// A decision is what follows a failure.
type decision struct {
	giveUp bool
	delay  time.Duration // before the next start
	slots  int           // that the next server gets
}

// A service is what a server has done before it failed.
type service struct {
	lasted  time.Duration
	answers int
}

// decide counts a failure and says what follows. A server that has worked well is restarted
// without limit; one that never gets that far is given up. Lack of memory twice in a row halves the
// slots: what a model needs besides its weights grows with them.
func (p *restartPolicy) decide(why error, done service, slots int) decision {
	noMemory := errors.Is(why, pipeline.ErrMemory)
	isGood := done.lasted >= goodTime || done.answers >= goodAnswers
	if noMemory || errors.Is(why, errSlow) {
		isGood = done.lasted >= goodGPUTime
	}
	if isGood {
		p.failures, p.memory = 0, 0
	}
	p.failures++
	if noMemory {
		p.memory++
	}
	if p.memory >= memoryErrors && slots > minSlots {
		slots = max(slots/2, minSlots)
		p.failures, p.memory = 1, 0
	}
	delays := restartDelays()
	return decision{
		giveUp: p.failures >= maxFailures || pipeline.ClassOf(why).Rule().HandBack == pipeline.HandBackHold,
		delay:  delays[min(p.failures, len(delays))-1],
		slots:  slots,
	}
}
