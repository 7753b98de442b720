package sink

import (
	"context"
	"iter"
	"sync"

	"gleaner/internal/pipeline"
)

// How many answers are read at a time while those before them are written, and about how many bytes
// they have at most.
const (
	aheadAnswers = 64
	aheadBytes   = 256 << 10
)

// ahead yields what answers yields, and reads on in the background meanwhile. It ends when the loop
// over it ends, or with ctx.
func ahead(ctx context.Context, answers iter.Seq2[pipeline.Answer, error]) iter.Seq2[pipeline.Answer, error] {
	return func(yield func(pipeline.Answer, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		read := make(chan []pipeline.Answer, 2)
		var failure error
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(read)
			failure = readAhead(ctx, answers, read)
		})
		defer reading.Wait()
		defer stop()
		for some := range read {
			for _, a := range some {
				if !yield(a, nil) {
					return
				}
			}
		}
		if failure != nil {
			yield(pipeline.Answer{}, failure)
		}
	}
}

// readAhead sends answers in chunks until there are no more, or ctx ends.
func readAhead(ctx context.Context, answers iter.Seq2[pipeline.Answer, error], read chan<- []pipeline.Answer) error {
	var some []pipeline.Answer
	bytes := 0
	send := func() error {
		select {
		case read <- some:
			some, bytes = make([]pipeline.Answer, 0, aheadAnswers), 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for a, err := range answers {
		if err != nil {
			if sent := send(); sent != nil {
				return sent
			}
			return err
		}
		some = append(some, a)
		if bytes += len(a.Input); a.Result != nil {
			bytes += len(a.Result.Text) + len(a.Result.Reasoning)
		}
		if len(some) == aheadAnswers || bytes >= aheadBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}
