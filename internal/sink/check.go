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

// A checker tells results that belong to a run from those that do not: a consumer may be old, broken or lying.
type checker struct {
	ledger ledger
	spans  map[spanKey]pipeline.Batch // what never changes of batches seen before
}

// A spanKey names a batch of one load of a run.
type spanKey struct {
	uid   string
	batch int
}

// A rejection is a delivery that can never be stored.
type rejection struct {
	delivery pipeline.Delivery[pipeline.Results]
	reason   string
}

func newChecker(ledger ledger) *checker {
	return &checker{ledger: ledger, spans: map[spanKey]pipeline.Batch{}}
}

// sort splits deliveries into those that can be written and those that cannot. An error comes from the store.
func (c *checker) sort(ctx context.Context, deliveries []pipeline.Delivery[pipeline.Results]) (good []pipeline.Delivery[pipeline.Results], bad []rejection, err error) {
	runs, err := c.runs(ctx, deliveries)
	if err != nil {
		return nil, nil, err
	}
	if err := c.learn(ctx, runs, deliveries); err != nil {
		return nil, nil, err
	}
	for _, d := range deliveries {
		if reason := c.verdict(runs, d); reason != "" {
			bad = append(bad, rejection{d, reason})
		} else {
			good = append(good, d)
		}
	}
	return good, bad, nil
}

// runs looks up every run that is named. It is asked anew each time, since a run can be deleted and loaded again.
func (c *checker) runs(ctx context.Context, deliveries []pipeline.Delivery[pipeline.Results]) (map[string]pipeline.Run, error) {
	runs := map[string]pipeline.Run{}
	asked := map[string]bool{}
	for _, d := range deliveries {
		if d.Err != nil || asked[d.Body.Run] {
			continue
		}
		asked[d.Body.Run] = true
		run, err := c.ledger.Run(ctx, d.Body.Run)
		switch {
		case err == nil:
			runs[run.Name] = run
		case !errors.Is(err, pipeline.ErrNoRun):
			return nil, err
		}
	}
	return runs, nil
}

// learn looks up the batches that were not seen before.
func (c *checker) learn(ctx context.Context, runs map[string]pipeline.Run, deliveries []pipeline.Delivery[pipeline.Results]) error {
	if len(c.spans) > maxSpans { // before it is seen what is known
		clear(c.spans)
	}
	unknown := map[string]map[int]bool{}
	for _, d := range deliveries {
		run, ok := runs[d.Body.Run]
		if _, known := c.spans[spanKey{run.UID, d.Body.Batch}]; !ok || d.Err != nil || known {
			continue
		}
		if unknown[run.Name] == nil {
			unknown[run.Name] = map[int]bool{}
		}
		unknown[run.Name][d.Body.Batch] = true // large batches come in several messages
	}
	for name, indexes := range unknown {
		batches, err := c.ledger.BatchesAt(ctx, name, slices.Sorted(maps.Keys(indexes)))
		if err != nil {
			return err
		}
		for _, b := range batches {
			c.spans[spanKey{runs[name].UID, b.Index}] = pipeline.Batch{First: b.First, Count: b.Count}
		}
	}
	return nil
}

// verdict returns why a delivery cannot be stored, or "".
func (c *checker) verdict(runs map[string]pipeline.Run, d pipeline.Delivery[pipeline.Results]) string {
	if d.Err != nil {
		return d.Err.Error()
	}
	run, ok := runs[d.Body.Run]
	if !ok {
		return fmt.Sprintf("there is no run %s", d.Body.Run)
	}
	if run.UID != d.Body.UID {
		return fmt.Sprintf("it belongs to an earlier run %s that was deleted", run.Name)
	}
	if run.State == pipeline.RunDeleting {
		return fmt.Sprintf("run %s is being deleted", run.Name)
	}
	span, ok := c.spans[spanKey{run.UID, d.Body.Batch}]
	if !ok {
		return fmt.Sprintf("run %s has no batch %d", run.Name, d.Body.Batch)
	}
	for _, r := range d.Body.Results {
		item, sample := span.Generation(r.Index, run.Spec.Samples)
		if r.Index >= span.Count || item != r.Item || sample != r.Sample {
			return fmt.Sprintf("generation %s does not belong to batch %s", pipeline.GenerationID(run.Name, r.Item, r.Sample), d.Body.ID())
		}
	}
	return ""
}

// rejections removes what cannot be stored from the stream, counts it, and logs it at a limited rate.
type rejections struct {
	log     *zap.Logger
	metrics *Metrics
	quiet   time.Time // nothing is logged before
	silent  int       // rejections since the last line
}

const rejectionLogEvery = 10 * time.Second

func (r *rejections) reject(ctx context.Context, bad []rejection) {
	for _, b := range bad {
		if err := b.delivery.Reject(ctx, b.reason); err != nil {
			r.log.Debug("rejecting a message", zap.Error(err))
		}
		r.metrics.rejected.Inc()
		r.silent++
		if now := time.Now(); now.After(r.quiet) {
			r.log.Warn("results refused; their batch stays outstanding", zap.String("subject", b.delivery.Subject),
				zap.String("consumer", b.delivery.Body.Consumer), zap.String("reason", b.reason), zap.Int("refused", r.silent))
			r.quiet, r.silent = now.Add(rejectionLogEvery), 0
		}
	}
}
