package consumer

import (
	"errors"
	"math"
	"sync"
	"time"

	"gleaner/internal/pipeline"
)

const (
	leastCrashes  = 2             // of the runner while a generation runs alone, before it can be poison
	innocentRisk  = 0.001         // innocent generations of a run that may be taken for poison
	unknownRun    = 1e5           // generations of a run that does not say how many it has
	atOnce        = recoveryPause // failures within this time have one reason
	judgedTries   = 2             // of a generation that another GPU has tried to its end
	leastTries    = 3             // of a generation whose failures may pass
	mostTries     = 10            // the same on a server that fails now and then with everything
	flakyRisk     = 0.01          // generations of a run that may be given up although they would be answered
	fewAnswers    = 20            // until there are so few, nothing is known of how often the server fails
	triesUnproven = 5             // of a generation until then
)

// evidence is what the requests of a GPU have shown, by which its failures are told from those of
// a generation.
type evidence struct {
	mu        sync.Mutex
	ended     int       // requests, canaries included
	proven    time.Time // when the newest request was sent that the model answered
	crashes   int       // of the runner, each counted once
	crashedAt time.Time
	chance    int // crashes in which no suspect took part
	lone      int // attempts of suspects, alone
	loneCrash int // of them, those that crashed the runner

	droppedAt time.Time // when the first of the streams was dropped that were dropped at once
	drops     int       // how many were
	dropsOf   int       // of how many in flight

	done   int // generations that were answered
	passed int // failures of theirs before that
}

// A share is what one generation has contributed to the evidence. It is left out when the
// generation is judged.
type share struct {
	ended  int // requests
	lone   int // attempts alone
	alone  int // of them, those that crashed the runner
	chance int // crashes in company, in which it took part
}

// begin returns how often the runner has crashed when a request begins.
func (e *evidence) begin() (crashes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.crashes
}

// end takes in what came of an attempt, of a suspect or not, while others are in flight. It reports
// whether that shows a crash of the runner. Of the requests that were in flight then, the first one
// to say so counts the crash.
func (e *evidence) end(a attempt, suspect bool, others int) (crashed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended++
	if suspect {
		e.lone++
		if errors.Is(a.err, pipeline.ErrRunnerCrashed) {
			e.loneCrash++
		}
	}
	switch {
	case answered(a.err):
		e.proven = latest(e.proven, a.sent)
		return false
	case errors.Is(a.err, pipeline.ErrRunnerCrashed):
	case errors.Is(a.err, pipeline.ErrDropped) && e.drop(others):
	default:
		return false
	}
	if suspect || a.sent.After(e.crashedAt) {
		e.crashes++
		e.crashedAt = time.Now()
		if !suspect {
			e.chance++
		}
	}
	return true
}

// drop takes in that an answer's stream ended without a word, and reports whether that happened to
// several at once, and to half of those in flight: so some servers hide an error of their runner.
// The caller holds mu.
func (e *evidence) drop(others int) bool {
	if now := time.Now(); now.Sub(e.droppedAt) > atOnce {
		e.droppedAt, e.drops, e.dropsOf = now, 0, others+1
	}
	e.drops++
	return e.drops >= 2 && 2*e.drops >= e.dropsOf
}

// crashedSince reports whether the runner crashed after an attempt had begun: if that was in
// flight then, it may be the reason.
func (e *evidence) crashedSince(a attempt) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.crashes != a.crashes
}

// provenSince reports whether the model has answered anything that was sent after an attempt. What
// was sent before says nothing: a server may finish what it has and refuse the rest.
func (e *evidence) provenSince(a attempt) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.proven.After(a.sent)
}

// settle takes in that a generation was answered after some failures.
func (e *evidence) settle(failures int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done++
	e.passed += failures
}

// isPoison reports whether a generation crashed the runner alone more often than chance explains in
// a run of this many generations. How often the runner crashes by chance is known from the others:
// from the crashes in which no suspect took part, and where other suspects crashed it alone, from
// those. The first are too few where one crash ends all that is in flight, the second come late. If
// it is poison, its own part in all of that is explained, and left out from then on.
func (e *evidence) isPoison(own share, generations int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	chance := float64(1+max(e.chance-own.chance, 0)) / float64(1+max(e.ended-own.ended, 0))
	if crashes := e.loneCrash - own.alone; crashes > 0 {
		chance = max(chance, float64(1+crashes)/float64(1+max(e.lone-own.lone, 0)))
	}
	if own.alone < leastCrashes || math.Pow(min(chance, 1), float64(own.alone))*size(generations) >= innocentRisk {
		return false
	}
	e.chance = max(e.chance-own.chance, 0)
	e.lone, e.loneCrash = max(e.lone-own.lone, 0), max(e.loneCrash-own.alone, 0)
	return true
}

// tries returns how often a generation of such a run is tried before it is given up: at least, and
// at most if that is quick. That is more often where those that were answered failed before, too,
// and less often where another GPU has given it up.
func (e *evidence) tries(generations int, judged bool) (least, most int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	least, most = leastTries, triesUnproven
	if judged {
		least, most = judgedTries, judgedTries
	}
	switch {
	case e.done < fewAnswers:
		return least, most
	case e.passed == 0:
		return least, least
	}
	fails := float64(e.passed) / float64(e.passed+e.done)
	return least, min(max(int(math.Ceil(math.Log(flakyRisk/size(generations))/math.Log(fails))), least), mostTries)
}

func size(generations int) float64 {
	if generations < 1 {
		return unknownRun
	}
	return float64(generations)
}
