package sink

import (
	"context"
	"iter"

	"gleaner/internal/pipeline"
)

// lineEncoder makes a line of an answer.
type lineEncoder interface {
	Line(answer pipeline.Answer) ([]byte, error)
}

// rowWriter takes lines.
type rowWriter interface {
	Write(row []byte) error
}

// Exported counts what an export did.
type Exported struct {
	Lines   int `json:"lines"`
	Missing int `json:"missing"` // generations without an answer
}

// Export writes answers in the order they come. Those that are missing are left out unless all is
// set. Progress, which may be nil, gets how many generations were looked at.
func Export(ctx context.Context, answers iter.Seq2[pipeline.Answer, error], encode lineEncoder, to rowWriter, all bool, progress func(seen int)) (Exported, error) {
	var exported Exported
	seen := 0
	for answer, err := range answers {
		if err != nil {
			return exported, err
		}
		if err := ctx.Err(); err != nil {
			return exported, err
		}
		if seen++; progress != nil {
			progress(seen)
		}
		if answer.Result == nil {
			exported.Missing++
			if !all {
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
