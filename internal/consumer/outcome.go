package consumer

import (
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
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
}

// fail adds the last word on a generation.
func (o *outcome) fail(generation pipeline.Generation, attempts int, err error) {
	o.failures = append(o.failures, pipeline.GenerationFailure{
		Generation: generation, Class: pipeline.ClassOf(err), Message: text.Shorten(err.Error(), maxMessageBytes), Attempts: attempts,
	})
}
