package producer

import (
	"context"

	"gleaner/internal/pipeline"
)

// Cut goes over a dataset as Load does and hands out the messages that a run of it would be published as, in order,
// every so many-th of them: what is between is cut and not made. It writes nothing. It returns how many batches there
// are. A work is the callee's.
func Cut(ctx context.Context, survey Survey, data Dataset, every func(batch int) bool, do func(pipeline.Work) error) (batches int, err error) {
	run := survey.Run
	empty, err := pipeline.Encode(workOf(run, pipeline.Batch{Run: run.Name, Index: pipeline.MaxBatches, Round: 1}, nil))
	if err != nil {
		return 0, err
	}
	var pending []pipeline.Generation // the batch that is being cut, and perhaps the first generation of the next
	cutter := pipeline.NewCutter(run.Name, run.Generations, run.Spec.Batch, len(empty), func(b pipeline.Batch) error {
		generations := append([]pipeline.Generation(nil), pending[:b.Count]...)
		pending = append(pending[:0], pending[b.Count:]...)
		if !every(b.Index) {
			return nil
		}
		for i := range generations {
			g := &generations[i]
			g.Index = i
			g.Seed = pipeline.Seed(run.Spec.Seed, pipeline.GenerationID(run.Name, g.Item, g.Sample))
		}
		return do(workOf(run, b, generations))
	})
	seq := 0
	var digest string
	err = data.each(ctx, run.Spec, func(_ []byte, prompt string) error {
		widest := pipeline.Generation{Index: pipeline.MaxBatch, Item: pipeline.MaxItems, Sample: pipeline.MaxSamples, Seed: maxSeed, Prompt: prompt}
		bytes := widest.EncodedBytes()
		for sample := range run.Spec.Samples {
			pending = append(pending, pipeline.Generation{Item: seq, Sample: sample, Prompt: prompt})
			if err := cutter.Add(bytes); err != nil {
				return err
			}
		}
		seq++
		return nil
	}, &digest)
	if err == nil {
		err = cutter.Flush()
	}
	return cutter.Batches(), err
}
