package sink

import (
	"context"
	"iter"

	"gleaner/internal/pipeline"
)

// An AnswerWriter takes the answers of an export, and decides which of them are written.
type AnswerWriter interface {
	Add(answer pipeline.Answer) error
}

// Export hands answers to a writer in the order in which they come. Progress, which may be nil,
// gets the number of generations seen so far. Its errors are those of the answers, the writer and
// ctx.
func Export(ctx context.Context, answers iter.Seq2[pipeline.Answer, error], to AnswerWriter, progress func(seen int)) error {
	seen := 0
	for answer, err := range ahead(ctx, answers) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if seen++; progress != nil {
			progress(seen)
		}
		if err := to.Add(answer); err != nil {
			return err
		}
	}
	return nil
}
