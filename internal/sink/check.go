package sink

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

// maxSpans bounds what a checker remembers: about 10 MB.
const maxSpans = 50_000

// A checker finds the messages that do not belong to any run: a consumer may be outdated, broken or
// lying.
type checker struct {
	store Store
	spans map[spanKey]pipeline.Batch // what is known of batches seen before: where they are, and their last round
}

// A spanKey names a batch of one load of a run.
type spanKey struct {
	uid   string
	batch int
}

// A claim is what a message says about a batch.
type claim struct {
	err         error // why the message could not be read
	run, uid    string
	batch       int
	round       int
	token       pipeline.Token
	generations []generation
}

type generation struct{ index, item, sample int }

// A delivery is a message with results.
type delivery = pipeline.Delivery[pipeline.Results]

// A rejection is a delivery that can never be stored.
type rejection struct {
	delivery delivery
	refusal
}

// A refusal says why a message cannot be stored.
type refusal struct {
	reason  string // empty: it can
	unknown bool   // the store does not know its run, or its load of it: another store may
	forged  bool   // it fits, and comes without its token
}

func newChecker(store Store) *checker {
	return &checker{store: store, spans: map[spanKey]pipeline.Batch{}}
}

// A checked is what came of checking deliveries.
type checked struct {
	good   []delivery
	bad    []rejection
	forged []rejection             // without their token
	runs   map[string]pipeline.Run // those that they name and that exist, as they are now
}

// split divides deliveries into those that can be stored and those that cannot. An error comes from
// the store.
func (c *checker) split(ctx context.Context, deliveries []delivery) (checked, error) {
	claims := make([]claim, len(deliveries))
	for i, d := range deliveries {
		claims[i] = claim{err: d.Err, run: d.Body.Run, uid: d.Body.UID, batch: d.Body.Batch, round: d.Body.Round, token: d.Body.Token}
		for _, r := range d.Body.Results {
			claims[i].generations = append(claims[i].generations, generation{r.Index, r.Item, r.Sample})
		}
	}
	reasons, runs, err := c.refusals(ctx, claims)
	if err != nil {
		return checked{}, err
	}
	found := checked{runs: runs}
	for i, d := range deliveries {
		switch {
		case reasons[i].forged:
			found.forged = append(found.forged, rejection{d, reasons[i]})
		case reasons[i].reason != "":
			found.bad = append(found.bad, rejection{d, reasons[i]})
		default:
			found.good = append(found.good, d)
		}
	}
	return found, nil
}

// refusals returns why the claims are not believed, one for each, and the runs that they name. An
// error comes from the store.
func (c *checker) refusals(ctx context.Context, claims []claim) ([]refusal, map[string]pipeline.Run, error) {
	runs, err := c.runs(ctx, claims)
	if err != nil {
		return nil, nil, err
	}
	if err := c.learn(ctx, runs, claims); err != nil {
		return nil, nil, err
	}
	refusals := make([]refusal, len(claims))
	for i, x := range claims {
		run := runs[x.run]
		refusals[i] = c.refusal(runs, x)
		if refusals[i].reason == "" && !run.Key.Admits(x.token, x.uid, x.batch, x.round) {
			refusals[i] = refusal{reason: withoutToken(x), forged: true}
		}
	}
	return refusals, runs, nil
}

// runs looks up every run that a claim names. It asks the store each time, since a run can be
// deleted and loaded again.
func (c *checker) runs(ctx context.Context, claims []claim) (map[string]pipeline.Run, error) {
	runs := map[string]pipeline.Run{}
	asked := map[string]bool{}
	for _, x := range claims {
		if x.err != nil || asked[x.run] {
			continue
		}
		asked[x.run] = true
		run, err := c.store.Run(ctx, x.run)
		switch {
		case err == nil:
			runs[run.Name] = run
		case !errors.Is(err, pipeline.ErrNoRun):
			return nil, err
		}
	}
	return runs, nil
}

// learn looks up the batches that are not among the spans yet, or are in a later round now.
func (c *checker) learn(ctx context.Context, runs map[string]pipeline.Run, claims []claim) error {
	if len(c.spans) > maxSpans { // before the unknown batches are collected
		clear(c.spans)
	}
	unknown := map[string]map[int]bool{}
	for _, x := range claims {
		run, ok := runs[x.run]
		if span, known := c.spans[spanKey{run.UID, x.batch}]; !ok || x.err != nil || known && x.round <= span.Round {
			continue
		}
		if unknown[run.Name] == nil {
			unknown[run.Name] = map[int]bool{}
		}
		unknown[run.Name][x.batch] = true // large batches come in several messages
	}
	for name, indexes := range unknown {
		batches, err := c.store.BatchesAt(ctx, name, slices.Sorted(maps.Keys(indexes)))
		if err != nil {
			return err
		}
		for _, b := range batches {
			c.spans[spanKey{runs[name].UID, b.Index}] = pipeline.Batch{First: b.First, Count: b.Count, Round: b.Round}
		}
	}
	return nil
}

// refusal returns why a claim cannot be true, whatever its token.
func (c *checker) refusal(runs map[string]pipeline.Run, x claim) refusal {
	if x.err != nil {
		return refusal{reason: x.err.Error()}
	}
	run, ok := runs[x.run]
	if !ok {
		return refusal{reason: fmt.Sprintf("there is no run %s", x.run), unknown: true}
	}
	if run.UID != x.uid {
		return refusal{reason: fmt.Sprintf("it belongs to an earlier run %s that was deleted", run.Name), unknown: true}
	}
	return refusal{reason: c.misfit(run, x)}
}

// misfit returns why a claim does not fit its run, or "" if it does.
func (c *checker) misfit(run pipeline.Run, x claim) string {
	if run.State == pipeline.RunDeleting {
		return fmt.Sprintf("run %s is being deleted", run.Name)
	}
	span, ok := c.spans[spanKey{run.UID, x.batch}]
	if !ok {
		return fmt.Sprintf("run %s has no batch %d", run.Name, x.batch)
	}
	for _, g := range x.generations {
		item, sample := span.Generation(g.index, run.Spec.Samples)
		if g.index >= span.Count || item != g.item || sample != g.sample {
			return fmt.Sprintf("generation %s does not belong to batch %s", pipeline.GenerationID(run.Name, g.item, g.sample), pipeline.BatchID(run.Name, x.batch))
		}
	}
	if x.round > span.Round {
		return fmt.Sprintf("batch %s is in round %d, and it is of round %d", pipeline.BatchID(run.Name, x.batch), span.Round, x.round)
	}
	return ""
}

// rejections removes messages that cannot be stored from the stream, counts them, and logs them at
// a limited rate.
type rejections struct {
	log   *zap.Logger
	says  string
	count func()
	quiet quietLog
}

const rejectionLogEvery = 10 * time.Second

func (r *rejections) reject(ctx context.Context, bad []rejection) {
	for _, b := range bad {
		if err := b.delivery.Reject(ctx, b.reason); err != nil {
			r.log.Debug("rejecting a message", zap.Error(err))
		}
		r.count()
		if count, consumers, now := r.quiet.note(b.delivery.Body.Consumer); now {
			r.log.Warn(r.says, zap.String("subject", b.delivery.Subject),
				zap.Strings("consumers", consumers), zap.String("reason", b.reason), zap.Int("refused", count))
		}
	}
}
