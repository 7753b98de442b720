package producer

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// divide returns what can be sent of messages that are too large for the server. It marks their
// batches as queued first: the dead letter of one that is planned would never make it dead. Then
// rows that have no room in any message get a dead letter, before the rest goes out: the worker's
// letter replaces it, and brings its verdicts back. A batch of which nothing can be sent is at its
// end with that letter.
//
// An interruption in between leaves a batch that is queued and nowhere, which the search for lost
// batches repairs; after an error this publisher begins again with the same messages.
func (p *Publisher) divide(ctx context.Context, run pipeline.Run, works []pipeline.Work) (parts []pipeline.Work, err error) {
	if len(works) == 0 {
		return nil, nil
	}
	ctx, cancel := outage.WithGrace(ctx, finishWithin)
	defer cancel()
	indexes := make([]int, len(works))
	for i, work := range works {
		indexes[i] = work.Batch
	}
	p.rememberLarge(run, works)
	if err := p.mark(ctx, run, indexes); err != nil {
		return nil, err
	}
	for _, work := range works {
		part, err := p.queue.Fit(work)
		if err != nil {
			return nil, err
		}
		if letter, found := part.Unsent(work, time.Now()); found {
			p.tellTooLarge(letter)
			if err := p.queue.PublishDeadLetter(ctx, letter); err != nil {
				return nil, err
			}
		}
		if len(part.Generations) == 0 {
			p.forgetLarge(run, []int{work.Batch})
			continue
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// finishWithin is how long divide may go on after an interruption.
const finishWithin = 10 * time.Second

// tellTooLarge logs the first letter of this publisher; all others are like it.
func (p *Publisher) tellTooLarge(letter pipeline.DeadLetter) {
	fields := []zap.Field{zap.String("batch", letter.ID()), zap.Int("generations", len(letter.Failures)), zap.String("reason", letter.Message)}
	if p.saidLarge.Swap(true) {
		p.log.Debug("rows are too large for the NATS server", fields...)
		return
	}
	p.log.Warn("rows are too large for the NATS server and go into dead letters; all others go on. `"+advice.Command("dead list", "--run", letter.Run)+"` shows them", fields...)
}

// largeOf returns the messages of a run that are too large and did not all go out, by batch.
func (p *Publisher) largeOf(run pipeline.Run) []pipeline.Work {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.large[run.UID]), func(a, b pipeline.Work) int { return cmp.Compare(a.Batch, b.Batch) })
}

func (p *Publisher) rememberLarge(run pipeline.Run, works []pipeline.Work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.large[run.UID] == nil {
		p.large[run.UID] = map[int]pipeline.Work{}
	}
	for _, work := range works {
		p.large[run.UID][work.Batch] = work
	}
}

// forgetLarge is told which batches are on the queue, or at their end.
func (p *Publisher) forgetLarge(run pipeline.Run, batches []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, batch := range batches {
		delete(p.large[run.UID], batch)
	}
}
