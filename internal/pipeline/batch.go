package pipeline

import (
	"slices"
	"time"
)

// A BatchState is the state of a batch in the store.
type BatchState string

// The states of a batch.
const (
	Planned BatchState = "planned" // stored, not published yet
	Queued  BatchState = "queued"  // published in its current round
	Done    BatchState = "done"    // every generation has a stored result
	Dead    BatchState = "dead"    // every generation has a result or is part of a dead letter of this round
	Dropped BatchState = "dropped" // given up by the operator
)

// BatchStates lists all states in the order of a batch's life.
var BatchStates = []BatchState{Planned, Queued, Done, Dead, Dropped}

// A Batch is a number of consecutive generations of a run, the unit of queueing. It is cut once,
// at load.
type Batch struct {
	Run      string     `json:"run"`
	Index    int        `json:"index"`       // of the batch in its run
	First    int        `json:"first"`       // number of its first generation: item*samples + sample
	Count    int        `json:"generations"` // how many generations
	State    BatchState `json:"state"`
	Round    int        `json:"round"`              // 1 at first, plus one each time that it is queued again
	Done     []int      `json:"done,omitempty"`     // indexes in the batch of the stored generations, ascending
	Failed   []int      `json:"failed,omitempty"`   // indexes that failed in this round, ascending
	Opinions int        `json:"opinions,omitempty"` // rounds that it got because verdicts on it were doubted; a redrive makes it 0
	Refused  int        `json:"refused,omitempty"`  // the last round in which an answer of it was refused
	QueuedAt time.Time  `json:"queued_at,omitzero"`
	DoneAt   time.Time  `json:"done_at,omitzero"`
	Error    string     `json:"error,omitempty"` // the last failure's text
}

// ID returns the batch's id.
func (b Batch) ID() string { return BatchID(b.Run, b.Index) }

// Missing returns the indexes of the generations that are not stored, ascending.
func (b Batch) Missing() []int {
	var missing []int
	for i := range b.Count {
		if !slices.Contains(b.Done, i) {
			missing = append(missing, i)
		}
	}
	return missing
}

// Generation returns the item and sample of the generation at an index of the batch.
func (b Batch) Generation(index, samples int) (item, sample int) {
	n := b.First + index
	return n / samples, n % samples
}

// Settle returns the state that follows from Done and Failed: done if all generations are stored,
// dead if the batch is queued and each generation is stored or failed in this round, otherwise the
// present state. It does not change the batch.
func (b Batch) Settle() BatchState {
	union := append(slices.Clone(b.Done), b.Failed...)
	slices.Sort(union)
	switch {
	case len(b.Done) == b.Count:
		return Done
	case b.State == Queued && len(slices.Compact(union)) == b.Count:
		return Dead
	}
	return b.State
}
