package consumer

import (
	"fmt"
	"slices"

	"gleaner/internal/pipeline"
)

const (
	maxDeliveries   = 25      // of a message, hand-backs included, before it is given up without being run
	maxMessageBytes = 4 << 10 // of one failure
)

// An outcome is what came of a batch: its generations have a result, or a failure that is the
// last word on them, or neither because of a failure that is not.
type outcome struct {
	results  []pipeline.Result
	failures []pipeline.GenerationFailure
	open     error // why some generations have neither a result nor a failure; nil: all have one

	model pipeline.ModelInfo // that the server had when the batch was taken
	begun []int              // what record.Begin returned for each result
}

// answer adds the answer to a generation.
func (o *outcome) answer(result pipeline.Result, begun int) {
	o.results, o.begun = append(o.results, result), append(o.begun, begun)
}

// dropTooLarge turns answers that no message has room for into verdicts.
func (o *outcome) dropTooLarge(work pipeline.Work, judge pipeline.LaneID, tooLarge *pipeline.SizeError) {
	results, begun := o.results, o.begun
	o.results, o.begun = nil, nil
	for i, x := range results {
		if !slices.Contains(tooLarge.Indexes, x.Index) {
			o.answer(x, begun[i])
			continue
		}
		at := slices.IndexFunc(work.Generations, func(g pipeline.Generation) bool { return g.Index == x.Index })
		o.failures = append(o.failures, pipeline.GenerationFailure{
			Generation: work.Generations[at], Class: pipeline.TooLarge, Attempts: 1,
			Message: fmt.Sprintf("the answer of %s bytes is too large for the NATS server, which takes about %s bytes in one message, after compression. "+
				"Raise max_payload in the server's configuration, or limit the answers (--num-predict)", pipeline.Grouped(len(x.Text)), pipeline.Grouped(tooLarge.Limit)),
			Judge: judge, Engine: o.model.Engine, Digest: digestOf(o.model), PromptTokens: max(x.PromptTokens, 0), Seconds: float64(x.DurationMS) / 1000,
		})
	}
}

// setAside drops what came of the batch, because it must not be kept.
func (o *outcome) setAside(why error) {
	o.results, o.begun, o.failures, o.open = nil, nil, nil, graver(o.open, why)
}
