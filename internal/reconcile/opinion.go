package reconcile

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// An OpinionReport counts what one look at the verdicts of a run found and did.
type OpinionReport struct {
	Given    int // generations that another GPU shall judge, in rounds that were started now
	Again    int // batches that got another round because answers of them were refused
	Awaiting int // generations under dead letters that may still get a second opinion by themselves
}

// Opinions are what is known about the verdicts on the dead batches of one run.
type opinions struct {
	*rounds
	present  *attendance
	known    map[int]*verdicts // by batch
	looks    int
	awaiting int // generations that wait for a second opinion
}

func newOpinions(r *rounds) *opinions {
	return &opinions{rounds: r, present: newAttendance(r.Engine), known: map[int]*verdicts{}}
}

// look reads the letters of batches that are dead, and starts another round of those whose verdicts
// another GPU may change. If it is sure, it asks who is present as soon as any verdict is doubtful.
func (r *opinions) look(ctx context.Context, run openRun, sure bool, report *OpinionReport) error {
	r.looks++
	fresh := false
	var doubted []pipeline.Batch
	for from := 0; ; {
		batches, err := r.store.Batches(ctx, run.Name, pipeline.Dead, from, PageSize)
		if err != nil {
			return err
		}
		for _, b := range batches {
			isNew, err := r.read(ctx, run, b)
			if err != nil {
				return err
			}
			if len(r.known[b.Index].doubtful) > 0 {
				doubted = append(doubted, b)
				fresh = fresh || isNew || sure
			}
		}
		if len(batches) < PageSize {
			break
		}
		from = batches[len(batches)-1].Index + 1
	}
	for index, n := range r.known {
		if n.pass != r.looks {
			delete(r.known, index)
		}
	}
	if err := r.present.meet(ctx, run.Run, fresh || r.awaiting > 0); err != nil {
		return err
	}
	for _, b := range doubted {
		if err := r.consider(ctx, run, b, report); err != nil {
			return err
		}
	}
	r.awaiting = report.Awaiting
	return r.present.tell(ctx, run.Run, r.awaiting)
}

// read reads the letter of a dead batch, unless it is known, and reports whether it was new.
func (r *opinions) read(ctx context.Context, run openRun, b pipeline.Batch) (bool, error) {
	if n, known := r.known[b.Index]; known && n.round == b.Round {
		n.pass = r.looks
		return false, nil
	}
	n := &verdicts{round: b.Round, first: r.now(), pass: r.looks}
	// If none explains it, the search for lost batches finds that.
	letter, found, err := r.explanation(ctx, run.Run, b)
	if err != nil {
		return false, err
	}
	if found {
		n.sequence, n.judged, n.doubtful = letter.Sequence, judgedBy(letter.DeadLetter), doubtful(letter.DeadLetter)
	}
	if b.Opinions >= pipeline.MaxOpinions || slices.ContainsFunc(n.doubtful, isCrowded) {
		n.doubtful = slices.DeleteFunc(n.doubtful, func(v verdict) bool { return !v.crowded }) // others come after them
	}
	r.known[b.Index] = n
	return len(n.doubtful) > 0, nil
}

// consider decides about the doubtful verdicts on a batch.
func (r *opinions) consider(ctx context.Context, run openRun, b pipeline.Batch, report *OpinionReport) error {
	n := r.known[b.Index]
	if n.seen == nil {
		n.seen = map[pipeline.LaneID]time.Time{}
		for _, v := range n.doubtful {
			n.seen[v.judge] = r.present.fleet.lanes[v.judge].seen
		}
	}
	worths := r.weigh(b, n)
	count := func(w worth) int { return len(worths[w]) }
	switch {
	case count(waiting) > 0:
		report.Awaiting += count(waiting) + count(wanted)
		return nil
	case count(wanted) == 0:
		return nil
	case r.crowded():
		report.Awaiting += count(wanted)
		return nil
	}
	given, err := r.second(ctx, run, b, n)
	if given {
		report.Given += count(wanted)
	} else {
		report.Awaiting += count(wanted) // the next look decides
	}
	return err
}

// weigh sorts the doubtful verdicts on the missing generations of a batch.
func (r *opinions) weigh(b pipeline.Batch, n *verdicts) map[worth][]verdict {
	patient := r.now().Sub(n.first) < r.cfg.Lease
	worths := map[worth][]verdict{}
	for _, v := range n.doubtful {
		if slices.Contains(b.Done, v.index) {
			continue
		}
		w := r.present.fleet.weigh(v, n, r.present.shown, patient)
		worths[w] = append(worths[w], v)
	}
	return worths
}

// second starts another round of a batch for the verdicts that another GPU may change, with the
// steps of a redrive, and reports whether it did. If the letter is not the one that the decision is
// about, the next look decides again.
func (r *opinions) second(ctx context.Context, run openRun, seen pipeline.Batch, n *verdicts) (bool, error) {
	b, err := r.readBatch(ctx, run.Name, seen.Index) // its last results may have been stored meanwhile
	if err != nil {
		return false, err
	}
	if b.State != seen.State || b.Round != seen.Round || b.Opinions != seen.Opinions {
		return false, nil
	}
	letter, found, err := r.explanation(ctx, run.Run, b)
	if err != nil {
		return false, err
	}
	if !found || letter.Sequence != n.sequence {
		delete(r.known, b.Index)
		return false, nil
	}
	doubted := r.weigh(b, n)[wanted]
	if len(doubted) == 0 {
		return false, nil
	}
	work, err := workFor(ctx, run.build, b)
	if err != nil {
		return false, err
	}
	work = withVerdicts(work, letter.DeadLetter, doubted)
	opinions := b.Opinions + 1
	if doubted[0].crowded { // any GPU may take what none has seen, and it is no second opinion
		opinions, work.Judged = b.Opinions, nil
	}
	given, err := r.start(ctx, b, opinions, newRound{work: work, letter: letter.Sequence})
	if given && opinions == b.Opinions {
		r.log.Debug("rows that had no room in the message of their batch go out in another round", zap.String("batch", b.ID()), zap.Int("round", work.Round),
			zap.Int("generations", len(work.Generations)))
	} else if given {
		r.log.Debug("another GPU shall judge what one could not generate", zap.String("batch", b.ID()), zap.Int("round", work.Round),
			zap.Int("generations", len(work.Generations)), zap.String("class", string(letter.Class)), zap.String("consumer", letter.Consumer),
			zap.String("gpu", letter.GPU), zap.Int("needs_context", work.Needs))
	}
	return given, err
}
