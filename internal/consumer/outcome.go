package consumer

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

const (
	maxDeliveries = 25       // of a message, hand-backs included, before it is given up without being run
	maxMessages   = 64 << 10 // bytes of all failures' messages in a dead letter, so that it fits into a message with its prompts
	maxMessage    = 4 << 10  // bytes of one of them
	maxState      = 1 << 10  // bytes of the reason for which a GPU takes no work
)

// An outcome is what came of a batch: its generations have a result, or a failure that is the
// last word on them, or neither because of a failure that is not.
type outcome struct {
	results  pipeline.Results
	failures []pipeline.GenerationFailure
	open     error // why some generations have neither a result nor a failure; nil: all have one
}

// fail adds the last word on a generation.
func (o *outcome) fail(generation pipeline.Generation, attempts int, err error) {
	o.failures = append(o.failures, pipeline.GenerationFailure{
		Generation: generation, Class: pipeline.ClassOf(err), Message: cut(err.Error(), maxMessage), Attempts: attempts,
	})
}

// run generates a batch, unless it was delivered too often for that.
func (c *Consumer) run(ctx context.Context, g *lane, delivery pipeline.Delivery[pipeline.Work]) *outcome {
	work := delivery.Body
	o := &outcome{results: pipeline.Results{
		Run: work.Run, UID: work.UID, Batch: work.Batch, Round: work.Round, Consumer: c.cfg.Identity.ID, GPU: g.Name,
	}}
	for _, generation := range work.Generations {
		if delivery.Deliveries > maxDeliveries {
			o.fail(generation, 0, pipeline.Fail(pipeline.Undeliverable, "delivered %d times without an outcome, not run again", delivery.Deliveries))
			continue
		}
		result, attempts, err := g.generate(ctx, work, generation)
		if err == nil {
			o.results.Results = append(o.results.Results, result)
			continue
		}
		class := pipeline.ClassOf(err)
		g.log.Debug("no answer", zap.String("batch", work.ID()), zap.Int("generation", generation.Index),
			zap.String("class", string(class)), zap.Int("attempts", attempts), zap.Error(err))
		if class.IsOutcome() {
			o.fail(generation, attempts, err)
			continue
		}
		o.open = worse(o.open, err)
		if class == pipeline.Interrupted || class == pipeline.Fatal || errors.Is(err, errAway) {
			break
		}
	}
	return o
}

// publish sends out what came of a batch: what is finished at once, and the dead letter only
// after all results and only if every generation has an outcome. It returns what keeps the batch
// from being done.
func (c *Consumer) publish(ctx context.Context, g *lane, delivery pipeline.Delivery[pipeline.Work], o *outcome) error {
	if len(o.results.Results) > 0 {
		if err := c.out.PublishResults(ctx, o.results); err != nil {
			return worse(o.open, c.unpublished(ctx, g, "publishing results", o, err))
		}
	}
	if o.open != nil || len(o.failures) == 0 {
		return o.open
	}
	letter := deadLetter(delivery, o)
	if err := c.out.PublishDeadLetter(ctx, letter); err != nil {
		return c.unpublished(ctx, g, "publishing a dead letter", o, err)
	}
	g.log.Info("some generations have no answer, they are in a dead letter", zap.String("batch", letter.ID()),
		zap.Int("generations", len(letter.Failures)), zap.String("class", string(letter.Class)), zap.String("message", letter.Message))
	return nil
}

func (c *Consumer) unpublished(ctx context.Context, g *lane, what string, o *outcome, err error) error {
	g.log.Error(what, zap.String("batch", o.results.ID()), zap.Error(err))
	if ctx.Err() != nil {
		return &pipeline.Failure{Class: pipeline.Interrupted, Err: err}
	}
	return err
}

// deadLetter makes the letter of a batch with failures.
func deadLetter(delivery pipeline.Delivery[pipeline.Work], o *outcome) pipeline.DeadLetter {
	work, first := delivery.Body, o.failures[0]
	each := maxMessages / len(o.failures)
	for i := range o.failures {
		o.failures[i].Message = cut(o.failures[i].Message, each)
	}
	return pipeline.DeadLetter{
		Run: work.Run, UID: work.UID, Batch: work.Batch, Round: work.Round,
		Class: first.Class, Message: first.Message, Failures: o.failures, Deliveries: delivery.Deliveries,
		Consumer: o.results.Consumer, GPU: o.results.GPU,
		Model: work.Model, Options: work.Options, Shared: work.Shared,
		FailedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// cut returns the beginning of a text, as valid UTF-8 of at most so many bytes.
func cut(text string, most int) string {
	const more = "…"
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	end := max(most-len(more), 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
