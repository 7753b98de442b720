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
	fewSuspects   = 20            // until there are so few, nothing is known of how often suspects crash it by chance
	leastTries    = 3             // of a generation whose failures may pass
	mostFails     = 0.5           // of all tries, of which it is made the best
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
	suspects  int // that ran alone
	guilty    int // of them, those that crashed the runner at once

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
	alone  int // crashes while it ran alone
	chance int // crashes in company, in which it took part

	ranAlone, guilty bool // it counts among the suspects, and among those that crashed the runner
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

// ranAlone takes in what came of the first attempt of a suspect.
func (e *evidence) ranAlone(own *share, crashed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	own.ranAlone, own.guilty = true, crashed
	e.suspects++
	e.guilty += oneIf(crashed)
}

func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
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
// from the crashes in which no suspect took part, and from how many of the other suspects crashed
// it at once when they ran alone. The first are too few where one crash ends all that is in flight,
// the second come late. If the generation is poison, its own part in all of that is explained, and
// left out from then on.
func (e *evidence) isPoison(own share, generations int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	chance := float64(1+max(e.chance-own.chance, 0)) / float64(1+max(e.ended-own.ended, 0))
	if others := e.suspects - oneIf(own.ranAlone); others >= fewSuspects {
		chance = max(chance, float64(e.guilty-oneIf(own.guilty))/float64(others))
	}
	if own.alone < leastCrashes || math.Pow(min(chance, 1), float64(own.alone))*size(generations) >= innocentRisk {
		return false
	}
	e.chance = max(e.chance-own.chance, 0)
	e.suspects, e.guilty = e.suspects-oneIf(own.ranAlone), e.guilty-oneIf(own.guilty)
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
	// The rate is taken for more than was seen, since a further try is cheap, and a row that is
	// given up for nothing is not.
	seen := float64(e.passed)
	fails := min((seen+3+2*math.Sqrt(seen))/(seen+float64(e.done)), mostFails)
	return least, min(max(int(math.Ceil(math.Log(flakyRisk/size(generations))/math.Log(fails))), least), mostTries)
}

func size(generations int) float64 {
	if generations < 1 {
		return unknownRun
	}
	return float64(generations)
}
