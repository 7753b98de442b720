package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gleaner/internal/pipeline"
)

// acquire waits for a slot, or, for one that has to be alone, until no other is in use.
func (g *lane) acquire(ctx context.Context, alone bool) error {
	if err := g.permits.enter(ctx, alone); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.since.IsZero() {
		g.since = time.Now()
	}
	return nil
}

func (g *lane) release() { g.permits.leave() }

// A moment is what was known of a GPU when a request began.
type moment struct {
	crashes int
	probing bool // it was held, and the request shows whether it is mended
}

func (g *lane) now() moment {
	g.mu.Lock()
	defer g.mu.Unlock()
	return moment{g.crashes, g.hold.probing}
}

// crashedSince reports whether the runner crashed after that moment: a request that was in flight
// may be the reason.
func (g *lane) crashedSince(m moment) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.crashes != m.crashes
}

// once makes one try, in a slot, or while nothing else runs on this GPU. It returns the moment at
// which it began.
func (g *lane) once(ctx context.Context, request pipeline.Request, alone bool) (pipeline.Completion, moment, error) {
	if err := g.await(ctx); err != nil {
		return pipeline.Completion{}, moment{}, err
	}
	if err := g.acquire(ctx, alone); err != nil {
		return pipeline.Completion{}, moment{}, err
	}
	defer g.release()
	began := g.now()
	completion, err := g.measured(ctx, request)
	if errors.Is(err, pipeline.ErrRunnerCrashed) {
		g.mu.Lock()
		g.crashes++
		g.mu.Unlock()
		if alone {
			sleep(ctx, jitter(firstPause)) // nothing else has to meet the runner while it dies
		}
	}
	return completion, began, err
}

// measured has the model answer, and the meter count its tokens as they come. What a model does
// not tell of meanwhile counts at the end.
func (g *lane) measured(ctx context.Context, request pipeline.Request) (pipeline.Completion, error) {
	var told atomic.Int64
	request.OnTokens = func(n int) {
		told.Add(int64(n))
		g.meter.Tokens(n)
	}
	completion, err := g.Model.Generate(ctx, request)
	if err == nil {
		g.meter.Tokens(completion.OutputTokens - int(told.Load()))
	}
	g.meter.Ended(err != nil && !pipeline.ClassOf(err).IsOutcome())
	return completion, err
}
