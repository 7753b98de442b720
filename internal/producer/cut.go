package producer

import (
	"context"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// Cut reads a dataset as Load does, but writes nothing. It passes to do, in order, the messages of
// those batches for which take returns true, and returns how many batches there are. Do owns the
// message that it gets.
func Cut(ctx context.Context, checked Preflight, take func(batch int) bool, do func(pipeline.Work) error) (batches int, err error) {
	run := checked.Run
	renderer, err := prompt.New(run.Spec)
	if err != nil {
		return 0, err
	}
	shared := renderer.Shared()
	empty, err := emptyBytes(run)
	if err != nil {
		return 0, err
	}
	var pending []pipeline.Generation // of the present batch, perhaps with the first one of the next
	c := newCutter(run.Name, run.Generations, run.Spec.Batch, empty, func(b pipeline.Batch) error {
		generations := append([]pipeline.Generation(nil), pending[:b.Count]...)
		pending = append(pending[:0], pending[b.Count:]...)
		if !take(b.Index) {
			return nil
		}
		for i := range generations {
			g := &generations[i]
			g.Index = i
			g.Seed = pipeline.Seed(run.Spec.Seed, pipeline.GenerationID(run.Name, g.Item, g.Sample))
		}
		return do(workOf(run, shared, b, generations))
	})
	seq := 0
	pass := pass{data: checked.Dataset, spec: run.Spec, bad: func(*pipeline.RowError) error { return nil }, row: func(_ []byte, request pipeline.Rendered) error {
		messages := request.Messages[len(shared):]
		bytes, err := generationBytes(messages, request.Tools)
		if err != nil {
			return err
		}
		for sample := range run.Spec.Samples {
			pending = append(pending, pipeline.Generation{Item: seq, Sample: sample, Messages: messages, Tools: request.Tools})
			if err := c.add(bytes); err != nil {
				return err
			}
		}
		seq++
		return nil
	}}
	err = pass.run(ctx)
	if err == nil {
		err = c.flush()
	}
	return c.batches(), err
}
