package consumer

import (
	"cmp"
	"context"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"gleaner/internal/autotune"
	"gleaner/internal/pipeline"
)

// A Reply is what came of a request.
type Reply struct {
	Completion pipeline.Completion // with an error: what there was of the answer
	Err        error
}

// Ask has GPUs answer requests that are on no queue, as lanes would send them: in their slots, with
// their patience, and with the checks of what comes back. Each is asked once: what a run would try
// again stays a failure. It passes the replies to do, in the order of the requests, as soon as
// those before have come. Of the Config the patience and the log count. It returns ctx's error if
// that ends first, or the error of do.
func Ask(ctx context.Context, cfg Config, gpus []LaneConfig, requests []pipeline.Request, do func(int, Reply) error) error {
	cfg.Log = cmp.Or(cfg.Log, zap.NewNop())
	group, asking := errgroup.WithContext(ctx)
	next := make(chan int)
	replies := make([]chan Reply, len(requests))
	for i := range replies {
		replies[i] = make(chan Reply, 1)
	}
	group.Go(func() error {
		defer close(next)
		for i := range requests {
			select {
			case next <- i:
			case <-asking.Done():
				return asking.Err()
			}
		}
		return nil
	})
	var watching sync.WaitGroup
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer watching.Wait()
	defer unwatch()
	for _, gpu := range gpus {
		asker := newAsker(gpu, cfg)
		watching.Go(func() { asker.gpu.watch(watched) })
		for range gpu.Slots {
			group.Go(func() error {
				for i := range next {
					replies[i] <- asker.ask(asking, requests[i])
				}
				return nil
			})
		}
	}
	group.Go(func() error {
		for i, reply := range replies {
			select {
			case r := <-reply:
				if asking.Err() != nil {
					return asking.Err()
				}
				if err := do(i, r); err != nil {
					return err
				}
			case <-asking.Done():
				return asking.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// An asker is what of a lane sends requests and checks what comes back.
type asker struct {
	gpu     *requester
	prompts *promptCheck
}

func newAsker(gpu LaneConfig, cfg Config) asker {
	slots := &limiter{}
	slots.SetLimit(gpu.Slots)
	breaker := newBreaker(gpu.Name, 0, cfg.Log)
	requests := newRequester(gpu.Backend, cfg, slots, breaker, autotune.NewSpeedMeter(), &record{}, func() int { return 0 })
	return asker{requests, newPromptCheck(requests, breaker)}
}

func (a asker) ask(ctx context.Context, request pipeline.Request) Reply {
	want, err := a.gpu.schemas.Of(request.Options.Schema)
	if err != nil {
		return Reply{Err: err}
	}
	got := fit(want, a.gpu.Attempt(ctx, request, false))
	if got.err == nil {
		got.err = a.prompts.Check(ctx, request, got.completion)
	}
	return Reply{got.completion, got.err}
}
