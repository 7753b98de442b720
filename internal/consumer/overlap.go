package consumer

import "time"

const (
	overlapPart   = 10               // of the time with an answer, in which that many have to come before it counts
	overlapMemory = 10 * time.Minute // after which what was seen counts half
	oneByOne      = 4                // answers, one at a time while others waited, which show that a server works on one,
	oneByOneFor   = 5 * time.Second  // if they took this long
)

// An overlap knows how many answers of a server come at the same time. The end of one is noticed a
// little later than the beginning of the next, so that short times prove nothing. The zero value is
// ready.
type overlap struct {
	at      time.Time // of the last change
	running int
	times   []time.Duration // with at least one answer coming, with at least two, …
}

// Change takes in how many answers come from now on.
func (o *overlap) Change(now time.Time, running int) {
	o.count(now)
	o.running = running
	for len(o.times) < running {
		o.times = append(o.times, 0)
	}
	if len(o.times) > 0 && o.times[0] > overlapMemory {
		for i := range o.times {
			o.times[i] /= 2
		}
	}
}

func (o *overlap) count(now time.Time) {
	for i := range o.running {
		o.times[i] += now.Sub(o.at)
	}
	o.at = now
}

// Most returns how many answers the server gives at the same time.
func (o *overlap) Most(now time.Time) int {
	o.count(now)
	for n := len(o.times); n > 0; n-- {
		if overlapPart*o.times[n-1] >= o.times[0] && o.times[n-1] > 0 {
			return n
		}
	}
	return 0
}

// A serial finds out whether a server works on one request at a time: several answers came one
// after the other, although another request was there all the time, and for most of the time there
// was one. A server that reads several prompts at a time may also have one answer at a time now and
// then, but not for most of the time.
type serial struct {
	Is      bool
	said    bool
	answers int
	since   time.Time
	own     overlap // since then
}

// First takes in that a request had its first token, and how many there are. It returns true once
// when it is sure.
func (s *serial) First(now time.Time, all *overlap, requests int) (isNew bool) {
	if requests < 2 {
		s.answers = 0
		return false
	}
	if s.answers == 0 {
		s.since, s.own = now, overlap{at: now}
	}
	s.answers++
	s.own.Change(now, all.running)
	took := now.Sub(s.since)
	if s.answers <= oneByOne || took < oneByOneFor {
		return false
	}
	s.Is, s.answers = s.own.Most(now) == 1 && 2*s.own.times[0] >= took, 0
	isNew = s.Is && !s.said
	s.said = s.said || isNew
	return isNew
}

// End takes in that an answer has ended, and how many come still.
func (s *serial) End(now time.Time, running int) {
	if s.answers > 0 {
		s.own.Change(now, running)
	}
}
