package sink

import (
	"context"
	"iter"

	"gleaner/internal/pipeline"
)

// An AnswerEncoder turns an answer into a line of the exported dataset.
type AnswerEncoder interface {
	Line(answer pipeline.Answer) ([]byte, error)
}

// A LineWriter takes the lines of the exported dataset.
type LineWriter interface {
	Write(line []byte) error
}

// Exported counts the lines of an export.
type Exported struct {
	Lines   int `json:"lines"`
	Missing int `json:"missing"` // generations without an answer
	Failed  int `json:"failed"`  // of these, those that were written with why they have none
}

// ExportOptions say how a run is exported.
type ExportOptions struct {
	All      bool           // whether generations without an answer get a line, too
	Progress func(seen int) // gets the number of generations seen so far; may be nil
}

// Export writes answers in the order in which they come. Its errors are those of the answers, the
// encoder, the writer and ctx.
func Export(ctx context.Context, answers iter.Seq2[pipeline.Answer, error], encode AnswerEncoder, to LineWriter, options ExportOptions) (Exported, error) {
	var exported Exported
	seen := 0
	for answer, err := range answers {
		if err != nil {
			return exported, err
		}
		if err := ctx.Err(); err != nil {
			return exported, err
		}
		if seen++; options.Progress != nil {
			options.Progress(seen)
		}
		if answer.Result == nil {
			exported.Missing++
			if answer.Failure != nil {
				exported.Failed++
			} else if !options.All {
				continue
			}
		}
		line, err := encode.Line(answer)
		if err != nil {
			return exported, err
		}
		if err := to.Write(line); err != nil {
			return exported, err
		}
		exported.Lines++
	}
	return exported, nil
}
