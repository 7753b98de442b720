package sink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// A round names one round of a batch.
type round struct {
	run          string
	batch, round int
}

// markRefused marks the batches of answers that are refused because they come without their token,
// so that the batches are generated again: what a consumer sends that is too old to bring tokens
// back would else be missed only after many leases. It reads the batches first, so that a forger
// can cause one mark for each round of a batch. An error comes from the store, and the call may be
// repeated.
func markRefused(ctx context.Context, store Store, rounds []round) error {
	for len(rounds) > 0 {
		run := rounds[0].run
		named := map[int]map[int]bool{} // rounds by batch
		rest := rounds[:0:0]
		for _, r := range rounds {
			if r.run != run {
				rest = append(rest, r)
				continue
			}
			if named[r.batch] == nil {
				named[r.batch] = map[int]bool{}
			}
			named[r.batch][r.round] = true
		}
		rounds = rest
		batches, err := store.BatchesAt(ctx, run, slices.Sorted(maps.Keys(named)))
		if err != nil {
			return err
		}
		for _, b := range batches {
			open := b.State == pipeline.Planned || b.State == pipeline.Queued
			if !open || !named[b.Index][b.Round] || b.Refused == b.Round {
				continue
			}
			if _, err := store.Refuse(ctx, run, b.Index, b.Round); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutToken says why a message is refused that does not prove that its batch was handed out.
func withoutToken(x claim) string {
	if len(x.token) == 0 {
		return fmt.Sprintf("it brings back no token: batch %s was not handed to its consumer, or that is too old", pipeline.BatchID(x.run, x.batch))
	}
	return fmt.Sprintf("its token is not that of round %d of batch %s", x.round, pipeline.BatchID(x.run, x.batch))
}

// mostSenders bounds how many consumers one line of the log names: what they are called is up to
// them.
const mostSenders = 8

// Senders count messages by the consumer that they name.
type senders map[string]int

func (s senders) add(consumer string) {
	name := shown(consumer)
	if _, known := s[name]; !known && len(s) >= mostSenders {
		name = "others"
	}
	s[name]++
}

// names returns the consumers, those of most messages first.
func (s senders) names() (all []string) {
	for _, name := range slices.SortedFunc(maps.Keys(s), func(a, b string) int { return s[b] - s[a] }) {
		all = append(all, fmt.Sprintf("%s (%d)", name, s[name]))
	}
	return all
}

// shown returns text from a consumer as it may stand in a log.
func shown(s string) string { return text.Shorten(text.OneLine(text.Printable(s)), 64) }

// A tooOld names the consumers that bring no tokens back, each once while it is present.
type tooOld struct {
	store Store
	log   *zap.Logger
	named map[string]bool // by id
}

// What is present is up to the consumers, so there are bounds.
const (
	mostTooOld = 1000 // consumers that are named
	mostRuns   = 100  // runs that they may name
)

// name says which of the consumers that are present now are too old for their run.
func (o *tooOld) name(ctx context.Context, consumers []pipeline.Presence) error {
	runs, named := map[string]pipeline.Run{}, map[string]bool{}
	for _, c := range consumers {
		if c.Tokens || len(named) >= mostTooOld {
			continue
		}
		if _, asked := runs[c.Run]; !asked && len(runs) < mostRuns {
			run, err := o.store.Run(ctx, c.Run)
			if err != nil && pipeline.IsOutage(err) {
				return err
			}
			runs[c.Run] = run // one that is not there has no key
		}
		if !runs[c.Run].TooOld(c) {
			continue
		}
		if named[c.ID] = true; !o.named[c.ID] {
			o.log.Warn("a consumer is too old to bring back the tokens of its batches: what it sends is refused, and generated again; update it",
				zap.String("run", c.Run), zap.String("consumer", shown(c.ID)), zap.String("host", shown(c.Host)), zap.String("version", shown(c.Version)))
		}
	}
	o.named = named
	return nil
}

// A quietLog says how many messages were refused, and which consumers they name, at a limited rate.
type quietLog struct {
	until   time.Time // nothing is logged before
	silent  int       // messages since the last line
	senders senders
}

// note counts one more message, and returns what to say of all since the last line, if it is time
// for one.
func (q *quietLog) note(consumer string) (count int, consumers []string, now bool) {
	if q.senders == nil {
		q.senders = senders{}
	}
	q.silent++
	q.senders.add(consumer)
	at := time.Now()
	if !at.After(q.until) {
		return 0, nil, false
	}
	count, consumers = q.silent, q.senders.names()
	*q = quietLog{until: at.Add(rejectionLogEvery)}
	return count, consumers, true
}
