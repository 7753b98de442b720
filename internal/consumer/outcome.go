package consumer

import (
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

// setAside drops what came of the batch, because it must not be kept.
func (o *outcome) setAside(why error) {
	o.results, o.begun, o.failures, o.open = nil, nil, nil, graver(o.open, why)
}
