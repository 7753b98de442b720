package consumer

import (
	"errors"
	"time"

	"gleaner/internal/pipeline"
)

const (
	badInARow    = 5                // failures, after which a GPU is given up
	wellMinutes  = time.Minute      // of service, or so many answers, after which earlier failures are forgotten
	wellAnswers  = 20               //
	soundMinutes = 10 * time.Minute // the same after one that is about the GPU itself
	fewestSlots  = 4                // below which a server is not brought for lack of memory, unless it began there
)

// A record is what is known of the servers of a GPU before this one.
type record struct {
	rests  []time.Duration
	bad    int // failures in a row
	memory int // of them for lack of memory, since the slots were last changed
}

// A verdict says what becomes of a GPU whose server failed.
type verdict struct {
	giveUp bool
	rest   time.Duration // before the next start
	slots  int           // that it gets then
}

// A service is what a server has done before it failed.
type service struct {
	lasted  time.Duration
	answers int
}

// judge takes down a failure and says what is to be done. A server that has worked well before is
// started again for ever; one that never gets so far is given up. Lack of memory twice in a row
// halves the slots: what a model needs besides its weights grows with them.
func (r *record) judge(why error, served service, slots int) verdict {
	short := errors.Is(why, pipeline.ErrMemory)
	well := served.lasted >= wellMinutes || served.answers >= wellAnswers
	if short || errors.Is(why, errSlow) {
		well = served.lasted >= soundMinutes
	}
	if well {
		r.bad, r.memory = 0, 0
	}
	r.bad++
	if short {
		r.memory++
	}
	if r.memory >= 2 && slots > fewestSlots {
		slots = max(slots/2, fewestSlots)
		r.bad, r.memory = 1, 0
	}
	v := verdict{slots: slots, rest: r.rests[min(r.bad, len(r.rests))-1]}
	v.giveUp = r.bad >= badInARow || pipeline.ClassOf(why) == pipeline.Fatal
	return v
}
