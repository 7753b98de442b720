package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// A claim is the start of the next round of a batch by this process.
type claim struct {
	seen     pipeline.Batch
	opinions int
	at       time.Time // queued_at, by which this process knows its round again
	asked    bool      // an earlier answer of the store was lost
}

// make starts the round, unless another process was faster. If an answer of the store is lost, that
// is settled by reading: a batch that is queued in the next round at this time is ours. So a caller
// makes the same claim again after an error, and the round may have been started in spite of it.
func (c *claim) make(ctx context.Context, e *Engine) (ours bool, err error) {
	ours, err = e.store.Requeue(ctx, c.seen, c.opinions, c.at)
	if c.asked = c.asked || err != nil; !c.asked {
		return ours, nil
	}
	if ours && err == nil {
		return true, nil
	}
	b, lost := e.readBatch(ctx, c.seen.Run, c.seen.Index)
	if lost != nil {
		return false, errors.Join(err, lost)
	}
	if queuedAs(b, c.seen.Round+1, c.at) {
		return true, nil
	}
	return false, err
}

// instant returns the time as stores keep it.
func (e *Engine) instant() time.Time { return e.now().UTC().Truncate(time.Millisecond) }

func queuedAs(b pipeline.Batch, round int, at time.Time) bool {
	return b.State == pipeline.Queued && b.Round == round && b.QueuedAt.Equal(at)
}

// A newRound is a round that this process starts, until its message is on the queue.
type newRound struct {
	work   pipeline.Work
	claim  claim
	letter uint64    // sequence of the dead letter to delete once the message is on the queue; 0: none
	until  time.Time // when to leave the batch to the search for lost ones; zero: it was not refused yet
}

// An openRun is a run whose batches may be queued, with what makes its messages.
type openRun struct {
	pipeline.Run
	build pipeline.BuildFunc
}

// Rounds are the new rounds of one run that this process has begun to start, by batch.
type rounds struct {
	*Engine
	pending map[int]newRound
	full    bool // the queue had no room when it was tried last
}

// maxPending bounds the messages in memory that are not on the queue yet.
const maxPending = 100

func newRounds(e *Engine) *rounds { return &rounds{Engine: e, pending: map[int]newRound{}} }

// crowded reports whether no more rounds are to be started for now.
func (r *rounds) crowded() bool { return r.full || len(r.pending) >= maxPending }

// start starts the next round of a batch with the steps of a redrive, and reports whether it did.
// After an error it may be called again, and a round that was started in spite of the error goes on
// in sendAll.
func (r *rounds) start(ctx context.Context, seen pipeline.Batch, opinions int, round newRound) (bool, error) {
	index := seen.Index
	round.claim = claim{seen: seen, opinions: opinions, at: r.instant()}
	if before, ok := r.pending[index]; ok && before.work.Round == round.work.Round {
		round.claim.at, round.claim.asked = before.claim.at, true
	}
	ours, err := round.claim.make(ctx, r.Engine)
	if ours || err != nil {
		r.pending[index] = round
	}
	switch {
	case err != nil:
		return false, err
	case !ours:
		delete(r.pending, index)
		return false, nil
	}
	return true, r.send(ctx, round)
}

// sendAll tries again to put the messages of new rounds on the queue.
func (r *rounds) sendAll(ctx context.Context, run openRun) error {
	r.full = false
	if len(r.pending) == 0 {
		return nil
	}
	indexes := slices.Sorted(maps.Keys(r.pending))
	batches, err := r.store.BatchesAt(ctx, run.Name, indexes)
	if err != nil {
		return err
	}
	now := map[int]pipeline.Batch{}
	for _, b := range batches {
		now[b.Index] = b
	}
	for _, index := range indexes {
		round, b := r.pending[index], now[index]
		switch {
		case queuedAs(b, round.work.Round, round.claim.at):
			if err := r.send(ctx, round); err != nil || r.full {
				return err
			}
		case b.Round != round.work.Round-1: // else it is not started yet
			delete(r.pending, index)
		}
	}
	return nil
}

// send puts the message of a new round on the queue, once. A refusal is tried again for one lease:
// the ack of the worker follows its dead letter, or its results.
func (r *rounds) send(ctx context.Context, round newRound) error {
	work, err := r.put(ctx, round.work)
	if _, waits := r.pending[work.Batch]; waits { // what is too large for the server is said once
		round.work = work
		r.pending[work.Batch] = round
	}
	if errors.Is(err, pipeline.ErrOutstanding) {
		err = r.outstanding(ctx, work)
	}
	switch {
	case errors.Is(err, pipeline.ErrFull):
		r.full = true
		r.log.Debug("the queue has no room for another round of a batch", zap.String("batch", work.ID()))
		return nil
	case errors.Is(err, pipeline.ErrOutstanding):
		if round.until.IsZero() {
			round.until = r.now().Add(r.cfg.Lease)
			r.pending[work.Batch] = round
		}
		if r.now().After(round.until) {
			delete(r.pending, work.Batch)
		}
		return nil
	case err != nil:
		if pipeline.ClassOf(err) == pipeline.BadItem { // another try would end in the same way
			delete(r.pending, work.Batch)
		}
		return fmt.Errorf("putting another round of batch %s on the queue: %w", work.ID(), err)
	}
	delete(r.pending, work.Batch)
	if round.letter == 0 {
		return nil
	}
	return r.streams.DeleteDeadLetter(ctx, round.letter)
}

// put puts the message of a batch on the queue that the ledger has as queued in its round, and
// returns what of it is there. Rows that are too large for any message of the server get a dead
// letter first, since the worker's replaces it and brings its verdicts back. Where nothing else is
// left, that letter explains the batch, and there is no message.
func (e *Engine) put(ctx context.Context, work pipeline.Work) (pipeline.Work, error) {
	err := e.publish(ctx, work)
	if tooLarge := new(pipeline.SizeError); !errors.As(err, &tooLarge) {
		return work, err
	}
	fits, err := e.streams.Fit(work)
	if err != nil {
		return work, err
	}
	if letter, found := fits.Unsent(work, e.now()); found {
		e.log.Warn("rows are too large for the NATS server", zap.String("batch", work.ID()), zap.Int("generations", len(letter.Failures)), zap.String("reason", letter.Message))
		if err := e.streams.PublishDeadLetter(ctx, letter); err != nil {
			return work, err
		}
	}
	if len(fits.Generations) == 0 {
		return fits, nil
	}
	return fits, e.publish(ctx, fits)
}

// publish puts a message on the queue, also where one of the batch is in the way that no one gets.
func (e *Engine) publish(ctx context.Context, work pipeline.Work) error {
	err := e.streams.Publish(ctx, work)
	if !errors.Is(err, pipeline.ErrOutstanding) {
		return err
	}
	if gone, failure := e.removeStray(ctx, work.Run, work.Batch); failure != nil || !gone {
		return errors.Join(err, failure)
	}
	return e.streams.Publish(ctx, work)
}

// outstanding returns nil if the message that is on the queue already is this one: the answer to an
// earlier try was lost.
func (e *Engine) outstanding(ctx context.Context, work pipeline.Work) error {
	there, found, err := e.streams.FindWork(ctx, work.Run, work.Batch)
	switch {
	case err != nil && !unreadable(err):
		return err
	case err == nil && found && there.UID == work.UID && there.Round == work.Round:
		return nil
	}
	return pipeline.ErrOutstanding
}

// withVerdicts turns a message with all missing generations of a batch into one for a second
// opinion: only those in doubt are generated, as they were in the letter's round, and the verdicts
// on all others stay.
func withVerdicts(work pipeline.Work, letter pipeline.DeadLetter, doubted []verdict) pipeline.Work {
	work.Judged = judgedBy(letter)
	for _, v := range doubted {
		if !v.crowded && !slices.Contains(work.Judged, v.judge) {
			work.Judged = append(work.Judged, v.judge)
		}
	}
	work.Judged = work.Judged[max(0, len(work.Judged)-pipeline.MaxJudged):]
	if n := letter.Options.NumPredict; n >= 1 && n <= pipeline.MaxNumPredict {
		work.Options = letter.Options
	}
	failures := map[int]pipeline.GenerationFailure{}
	for _, f := range letter.Failures {
		failures[f.Index] = f
	}
	missing := work.Generations
	work.Generations = nil
	for _, g := range missing {
		f := failures[g.Index]
		work.Reseeded = work.Reseeded || f.Seed != g.Seed
		g.Seed = f.Seed
		i := slices.IndexFunc(doubted, func(v verdict) bool { return v.index == g.Index })
		if i < 0 {
			f.Judge, f.Generation = judgeOf(letter, f), g
			if f.Class == pipeline.TooLarge { // its prompt is what no message has room for
				f.Messages, f.Tools = nil, ""
			}
			work.Final = append(work.Final, f)
			continue
		}
		work.Generations = append(work.Generations, g)
		work.Needs = max(work.Needs, doubted[i].least())
	}
	return work
}
