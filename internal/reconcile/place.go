package reconcile

import (
	"context"
	"slices"

	"gleaner/internal/pipeline"
)

// A place is where a batch was found.
type location int

const (
	nowhere location = iota
	inWork
	inResults
	inDead // under a dead letter that explains it
)

// look searches the streams for a batch, and returns the record that explains it if that is where
// it is. A batch moves from WORK to RESULTS or DEAD only, and each hop is confirmed before the
// previous copy goes, so in this order it cannot be missed on its way. But its results may be
// stored meanwhile: whoever finds it nowhere reads the batch again before he believes it. What is
// in the list queued is not searched for: it was on the queue after the batch was read, and a
// look into WORK says no more than that.
func (e *Engine) look(ctx context.Context, run pipeline.Run, b pipeline.Batch, queued map[int]bool) (location, pipeline.StoredDeadLetter, error) {
	var none pipeline.StoredDeadLetter
	if queued[b.Index] {
		return inWork, none, nil
	}
	if found, err := e.streams.InWork(ctx, run.Name, b.Index); err != nil || found {
		return inWork, none, err
	}
	if found, err := e.streams.InResults(ctx, run.Name, b.Index); err != nil || found {
		return inResults, none, err
	}
	letter, found, err := e.streams.DeadLetter(ctx, run.Name, b.Index)
	if unreadable(err) {
		return nowhere, none, nil
	}
	if err != nil || !found || !summarize(run, letter.DeadLetter).explains(b) {
		return nowhere, none, err
	}
	return inDead, letter, nil
}

// listFrom is how many batches there must be to look for before the whole queue is listed for
// them, in one round trip. Each look costs one and 1.1 KB of traffic, a batch in the list 28
// bytes: the 2,000 of a full window as much as 50 looks.
const listFrom = 50

// queued lists the queue if there are that many batches to look for, which have been read before.
// Those that are not in the list are searched for one by one: it may be cut off, and a batch that
// has left the queue may be anywhere.
func (e *Engine) queued(ctx context.Context, run pipeline.Run, count int) (map[int]bool, error) {
	if count == 0 || count < e.listFrom {
		return nil, nil
	}
	return e.streams.Queued(ctx, run.Name)
}

// A record is what a dead letter says about its batch, in few bytes.
type record struct {
	round  int32 // 0 if it belongs to an earlier load of the run
	failed set
}

func summarize(run pipeline.Run, d pipeline.DeadLetter) record {
	var r record
	if d.UID == run.UID {
		r.round = int32(d.Round)
	}
	for _, f := range d.Failures {
		r.failed.add(f.Index)
	}
	return r
}

// explains reports whether nothing of the batch is missing but what the record names. A record of
// another round explains nothing: the generations have been on their way once more since then.
func (r record) explains(b pipeline.Batch) bool {
	return int(r.round) == b.Round && r.covers(b)
}

// covers reports whether the record names all that is missing.
func (r record) covers(b pipeline.Batch) bool {
	return !slices.ContainsFunc(b.Missing(), func(i int) bool { return !r.failed.has(i) })
}

// A set holds indexes of one batch.
type set [pipeline.MaxBatch / 64]uint64

func (s *set) add(index int) {
	if index >= 0 && index < pipeline.MaxBatch {
		s[index/64] |= 1 << (index % 64)
	}
}

func (s *set) has(index int) bool { return s[index/64]&(1<<(index%64)) != 0 }
