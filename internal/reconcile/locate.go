package reconcile

import (
	"context"
	"slices"

	"gleaner/internal/pipeline"
)

// A location is where a batch was found.
type location int

const (
	nowhere location = iota
	inWork
	inResults
	inDead // under a dead letter that explains it
)

// locate searches the streams for a batch. If a dead letter explains the batch, locate returns that
// letter, too. A batch moves only from WORK to RESULTS or DEAD, and each hop is confirmed before
// the previous copy is removed, so a search in this order cannot miss it. But its results may be
// stored meanwhile, so a caller that finds it nowhere has to read the batch again. A batch in the
// list queued is not searched for: it was on the queue after it was read from the store, and a look
// into WORK would say no more than that.
func (e *Engine) locate(ctx context.Context, run pipeline.Run, b pipeline.Batch, queued map[int]bool) (location, pipeline.StoredDeadLetter, error) {
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
	letter, found, err := e.explanation(ctx, run, b)
	if err != nil || !found {
		return nowhere, none, err
	}
	return inDead, letter, nil
}

// explanation returns the letter that explains a batch, if there is one.
func (e *Engine) explanation(ctx context.Context, run pipeline.Run, b pipeline.Batch) (letter pipeline.StoredDeadLetter, found bool, err error) {
	letter, found, err = e.streams.DeadLetter(ctx, run.Name, b.Index)
	if unreadable(err) {
		return letter, false, nil
	}
	return letter, found && summarize(run, letter.DeadLetter).explains(b), err
}

// listFrom is how many batches have to be searched for before the engine lists the whole queue in
// one round trip. A single look costs one round trip and 1.1 KB of traffic, a batch in the list 28
// bytes, so that a full window of 2,000 costs as much as 50 looks.
const listFrom = 50

// queued lists the queue if there are enough batches to search for, which the caller has read
// before. Batches that are not in the list have to be searched for one by one: the list may be cut
// off, and a batch that has left the queue may be anywhere.
func (e *Engine) queued(ctx context.Context, run pipeline.Run, count int) (map[int]bool, error) {
	if count == 0 || count < e.listFrom {
		return nil, nil
	}
	return e.streams.Queued(ctx, run.Name)
}

// A letterSummary is what a dead letter says about its batch, in few bytes: an audit holds one for
// every letter of the run.
type letterSummary struct {
	round  int32 // 0 if it belongs to an earlier load of the run, or lacks its token
	failed set
}

func summarize(run pipeline.Run, d pipeline.DeadLetter) letterSummary {
	var s letterSummary
	if d.IsOf(run) {
		s.round = int32(d.Round)
	}
	for _, f := range d.Failures {
		s.failed.add(f.Index)
	}
	return s
}

// explains reports whether the letter accounts for everything that the batch lacks. A letter of
// another round explains nothing: the generations have been published again since then.
func (s letterSummary) explains(b pipeline.Batch) bool {
	return int(s.round) == b.Round && s.covers(b)
}

// covers reports whether the letter names every generation that the batch lacks.
func (s letterSummary) covers(b pipeline.Batch) bool {
	return !slices.ContainsFunc(b.Missing(), func(i int) bool { return !s.failed.has(i) })
}

// A set holds indexes of one batch.
type set [pipeline.MaxBatch / 64]uint64

func (s *set) add(index int) {
	if index >= 0 && index < pipeline.MaxBatch {
		s[index/64] |= 1 << (index % 64)
	}
}

func (s *set) has(index int) bool { return s[index/64]&(1<<(index%64)) != 0 }
