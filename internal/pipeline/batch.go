package pipeline

import (
	"fmt"
	"slices"
	"time"
)

// A BatchState says where a batch stands in the ledger.
type BatchState string

// The states of a batch.
const (
	Planned BatchState = "planned" // in the ledger only
	Queued  BatchState = "queued"  // published in its current round
	Done    BatchState = "done"    // every generation has a stored result
	Dead    BatchState = "dead"    // every generation has a result or is part of a dead letter of this round
	Dropped BatchState = "dropped" // given up by the operator
)

// BatchStates lists all states in the order of a batch's life.
var BatchStates = []BatchState{Planned, Queued, Done, Dead, Dropped}

// A Batch is a number of consecutive generations of a run, the unit of queueing. It is cut once, at load.
type Batch struct {
	Run      string     `json:"run"`
	Index    int        `json:"index"`       // of the batch in its run
	First    int        `json:"first"`       // number of its first generation: item*samples + sample
	Count    int        `json:"generations"` // how many generations
	State    BatchState `json:"state"`
	Round    int        `json:"round"`            // 1 at first, one more for each time it is put on the queue again
	Done     []int      `json:"done,omitempty"`   // indexes in the batch of the generations stored, ascending
	Failed   []int      `json:"failed,omitempty"` // indexes that failed in this round, ascending
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

// Settle returns the state that follows from what is stored and what failed: done if all generations are stored,
// dead if those stored and those failed in this round are all, otherwise the state it was in.
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

// CutSize is how many generations the next batch gets: a share of what remains, so that the run ends in single
// generations and no GPU waits long for another's last batch.
func CutSize(remaining, most int) int {
	return max(1, min(remaining/500, most))
}

// A Cutter cuts the generations of a run, one after the other, into batches. The same sizes give the same batches.
type Cutter struct {
	run   string
	total int // generations of the run
	most  int // generations in a batch
	base  int // encoded bytes of a batch with no generation
	emit  func(Batch) error

	batch Batch
	size  int // encoded bytes of batch
	want  int // generations that batch is to get
}

// NewCutter returns a Cutter for a run of total generations that hands each finished batch to emit, in order.
// A batch has at most `most` generations and, if it has more than one, at most MaxBatchBytes encoded bytes, of
// which base are there without any generation.
func NewCutter(run string, total, most, base int, emit func(Batch) error) *Cutter {
	c := &Cutter{run: run, total: total, most: most, base: base, emit: emit}
	c.start(0)
	return c
}

func (c *Cutter) start(first int) {
	c.batch = Batch{Run: c.run, Index: c.batch.Index, First: first, State: Planned, Round: 1}
	c.size = c.base
	c.want = CutSize(c.total-first, c.most)
}

// Add adds the next generation, which takes so many encoded bytes. It returns what emit returned.
func (c *Cutter) Add(encodedBytes int) error {
	if c.batch.Count > 0 && c.size+encodedBytes > MaxBatchBytes {
		if err := c.Flush(); err != nil {
			return err
		}
	}
	c.batch.Count++
	c.size += encodedBytes
	if c.batch.Count == c.want {
		return c.Flush()
	}
	return nil
}

// Flush hands over the batch that is not full yet, if there is one.
func (c *Cutter) Flush() error {
	if c.batch.Count == 0 {
		return nil
	}
	if c.batch.Index >= MaxBatches {
		return fmt.Errorf("run %s needs more than %d batches: raise the batch size or split the dataset", c.run, int(MaxBatches))
	}
	batch := c.batch
	c.batch.Index++
	c.start(batch.First + batch.Count)
	return c.emit(batch)
}

// Batches returns how many batches were handed over.
func (c *Cutter) Batches() int { return c.batch.Index }
