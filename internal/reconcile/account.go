package reconcile

import (
	"fmt"

	"gleaner/internal/pipeline"
)

// An Account is the result of an audit of a run. All figures are generations unless their comment
// says otherwise. Whatever is wrong with the run,
// stored + dead + dropped + cancelled + outstanding + lost = total.
type Account struct {
	Run         string                      `json:"run"`
	State       pipeline.RunState           `json:"stored_state"`
	Total       int                         `json:"total"`
	Stored      int                         `json:"stored"`
	Dead        int                         `json:"dead"`              // under a dead letter of their batch's round, in batches that are dead
	Dropped     int                         `json:"dropped"`           // in batches that the operator dropped
	Cancelled   int                         `json:"cancelled"`         // missing from a cancelled run, and nowhere on the streams
	Outstanding int                         `json:"outstanding"`       // the sum of the five that follow
	Planned     int                         `json:"planned"`           // not published yet
	Work        int                         `json:"work"`              // in a batch on the queue
	Results     int                         `json:"results"`           // in a batch with results on the way to the store
	Unmirrored  int                         `json:"unmirrored"`        // under a dead letter that the store does not know yet
	Moving      int                         `json:"moving"`            // in a batch that was somewhere else in each look
	Lost        int                         `json:"lost"`              // nowhere; a reconciler will queue them again
	Batches     map[pipeline.BatchState]int `json:"batches"`           // number of batches in each state
	Letters     int                         `json:"letters"`           // dead letters of the run
	Leftover    int                         `json:"leftover"`          // of these, letters whose batch is done; a reconciler sweeps them
	Overdue     []pipeline.HeldBatch        `json:"overdue,omitempty"` // on the queue, and in progress for longer than their answers may take
	OnResults   Copies                      `json:"copies_on_results"` // answers of batches that are done
	OnDead      Copies                      `json:"copies_on_dead"`    // dead letters of batches that are done
	Broken      []Breach                    `json:"broken"`            // the first 1,000 violations, ordered by batch
	Breaches    int                         `json:"breaches"`          // number of violations
}

// A Breach is a batch that violates the law of conservation.
type Breach struct {
	Batch       string              `json:"batch"` // its id; empty if it concerns the whole run
	State       pipeline.BatchState `json:"state,omitempty"`
	Round       int                 `json:"round,omitempty"`
	Generations int                 `json:"generations"` // lost ones
	Reason      string              `json:"reason"`
}

const mostNamed = 1000 // violations that an account lists

// Balanced reports whether every generation is accounted for: stored, dead, dropped,
// cancelled or outstanding.
func (a Account) Balanced() bool { return a.Breaches == 0 && a.Lost == 0 }

// Complete reports whether every generation is stored or given up, and none is outstanding.
func (a Account) Complete() bool { return a.Balanced() && a.Outstanding == 0 }

func (a *Account) breach(b Breach) {
	a.Breaches++
	a.Lost += b.Generations
	if len(a.Broken) < mostNamed {
		a.Broken = append(a.Broken, b)
	}
}

// lose accounts for the missing generations of a batch that was nowhere in two looks. In a
// cancelled run these were removed from the queue by cancel, or no process repairs them any more.
func (a *Account) lose(b pipeline.Batch) {
	if a.State == pipeline.RunCancelled {
		a.count(b)
		a.Cancelled += len(b.Missing())
		return
	}
	reason := "lost, awaiting reconcile: it is queued, but neither on the queue nor in results nor under a dead letter of its round"
	if b.State == pipeline.Dead {
		reason = "lost, awaiting reconcile: it is dead, but no dead letter of its round names all that is missing"
	}
	a.count(b)
	a.breach(Breach{Batch: b.ID(), State: b.State, Round: b.Round, Generations: len(b.Missing()), Reason: reason})
}

// settle accounts for a batch if that needs no look at the streams, and reports whether it did.
func (a *Account) settle(b pipeline.Batch, letters map[int]letterSummary) bool {
	missing := len(b.Missing())
	switch b.State {
	case pipeline.Planned:
		if a.State == pipeline.RunCancelled {
			a.Cancelled += missing
		} else {
			a.Planned += missing
		}
	case pipeline.Dropped:
		a.Dropped += missing
	case pipeline.Done:
		if missing > 0 {
			a.breach(Breach{Batch: b.ID(), State: b.State, Round: b.Round, Generations: missing, Reason: "it is done, but not all of its generations are stored"})
		}
	case pipeline.Dead:
		if r, ok := letters[b.Index]; !ok || !r.explains(b) {
			return false
		}
		a.Dead += missing
	default:
		return false
	}
	a.count(b)
	return true
}

// find accounts for a batch that was found on the streams, and reports whether it was found.
func (a *Account) find(b pipeline.Batch, where location) bool {
	missing := len(b.Missing())
	switch {
	case where == nowhere:
		return false
	case where == inWork:
		a.Work += missing
	case where == inResults:
		a.Results += missing
	case b.State == pipeline.Dead:
		a.Dead += missing
	default:
		a.Unmirrored += missing
	}
	a.count(b)
	return true
}

// count adds what every batch contributes, wherever it is.
func (a *Account) count(b pipeline.Batch) {
	a.Batches[b.State]++
	a.Stored += len(b.Done)
}

// close adds up the account and checks the sum.
func (a *Account) close() {
	a.Outstanding = a.Planned + a.Work + a.Results + a.Unmirrored + a.Moving
	sum := a.Stored + a.Dead + a.Dropped + a.Cancelled + a.Outstanding + a.Lost
	if sum != a.Total {
		a.breach(Breach{Generations: a.Total - sum, Reason: fmt.Sprintf("the run has %d generations, its batches have %d", a.Total, sum)})
	}
}
