package sink

import (
	"context"
	"iter"

	"gleaner/internal/pipeline"
)

// AnswerEncoder makes a line of an answer.
type AnswerEncoder interface {
	Line(answer pipeline.Answer) ([]byte, error)
}

// LineWriter takes lines.
type LineWriter interface {
	Write(line []byte) error
}

// Exported counts what an export did.
type Exported struct {
	Lines   int `json:"lines"`
	Missing int `json:"missing"` // generations without an answer
}

// ExportOptions say how a run is exported.
type ExportOptions struct {
	All      bool           // also generations without an answer, which are left out otherwise
	Progress func(seen int) // gets how many generations were seen; nil: not called
}

// Export writes answers in the order in which they come.
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
			if !options.All {
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
