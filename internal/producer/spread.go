package producer

import (
	"context"
	"errors"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// A Pick is a row that stands for others, with what is asked for it.
type Pick struct {
	Seq       int    // of its item
	ID        string // by which the user knows it; empty: there is none
	File      string
	Line      int
	Request   pipeline.Request // for its first sample, as a consumer sends it
	Reference string           // the answer that the row's chat ended with; empty: none
}

// errPicked ends a pass that has all rows it needs.
var errPicked = errors.New("all rows are picked")

// Spread reads a dataset again, writes nothing, and passes to do the first row that is taken, the
// last one, and others at even distances between them, n in all, or all rows if there are fewer.
func Spread(ctx context.Context, checked Preflight, n int, do func(Pick) error) error {
	run := checked.Run
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return err
	}
	shared := renderer.Shared()
	n = min(n, run.Items)
	seq, picked := 0, 0
	p := pass{data: checked.Dataset, spec: run.Spec, bad: func(*pipeline.RowError) error { return nil }}
	p.row = func(row []byte, request pipeline.Rendered) error {
		item := seq
		seq++
		if item != spreadAt(picked, n, run.Items) {
			return nil
		}
		generation := pipeline.Generation{
			Item: item, Seed: pipeline.Seed(run.Spec.Seed, pipeline.GenerationID(run.Name, item, 0)),
			Messages: request.Messages[len(shared):], Tools: request.Tools,
		}
		pick := Pick{Seq: item, Request: workOf(run, shared, pipeline.Batch{}, nil).Request(generation), Reference: request.Reference}
		pick.File, pick.Line = p.rows.Position()
		if pick.ID, err = renderer.RowID(row); err != nil {
			return err
		}
		if err := do(pick); err != nil {
			return err
		}
		if picked++; picked == n {
			return errPicked
		}
		return nil
	}
	if err := p.run(ctx); !errors.Is(err, errPicked) {
		return err
	}
	return nil
}

// spreadAt returns which of the items is the one of this number of n that are spread over them.
func spreadAt(number, n, items int) int {
	if n < 2 {
		return 0
	}
	return number * (items - 1) / (n - 1)
}
