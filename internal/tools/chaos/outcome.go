//go:build unix

package main

import (
	"fmt"

	"gleaner/internal/view"
)

// An outcome is what came of one seed: a line of the results' file.
type outcome struct {
	Seed        int64    `json:"seed"`
	OK          bool     `json:"ok"`
	Problems    []string `json:"problems,omitempty"`
	Seconds     float64  `json:"seconds"`
	Generations int      `json:"generations"`
	Stored      int      `json:"stored"`
	Dead        int      `json:"dead"`
	losses
	Executed     int     `json:"executed"`      // answers that the servers completed, for those that are needed: the stored ones
	Spoilt       int     `json:"spoilt"`        // of them, those of broken servers
	Late         float64 `json:"late"`          // seconds between what it had to wait for and the end of publish --follow
	FailedStarts int     `json:"failed_starts"` // programs that ended with 1 soon after a start, because a server was away
	*tally
	Folder string `json:"folder,omitempty"` // with the logs, if something was wrong
}

// What every seed has to keep, and all seeds together.
const (
	lateAtMost     = 60.0 // seconds
	executedEach   = 1.5  // for each that is stored
	executedOfAll  = 1.05
	hopelessFactor = 2 // times lateAtMost: then it is waited for no longer
)

// losses are what there must not be.
type losses struct {
	Lost      int `json:"lost"`      // generations that are neither stored nor dead, or were stored and are gone
	Doubled   int `json:"doubled"`   // that are there twice: in the store, in the export or in dead letters
	Changed   int `json:"changed"`   // results that became another one after they were stored
	Forged    int `json:"forged"`    // generations that have what the forger sent
	Forgeries int `json:"forgeries"` // messages that it sent
}

func (l *losses) add(more losses) {
	l.Lost += more.Lost
	l.Doubled += more.Doubled
	l.Changed += more.Changed
	l.Forged += more.Forged
	l.Forgeries += more.Forgeries
}

func (l losses) String() string {
	return fmt.Sprintf("%d lost, %d doubled, %d changed, %d of %s forged accepted", l.Lost, l.Doubled, l.Changed, l.Forged, view.Count(l.Forgeries))
}

// share returns how many answers were completed for each that is stored.
func (o *outcome) share() float64 { return float64(o.Executed) / float64(max(o.Stored, 1)) }

// brokenServers reports whether a server may have judged rows wrongly.
func (t *tally) brokenServers() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Faults[brokenFirst]+t.Faults["break ollama"] > 0
}
