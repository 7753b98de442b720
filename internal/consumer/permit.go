package consumer

import (
	"context"
	"errors"
	"time"

	"gleaner/internal/pipeline"
)

// acquire waits for a slot, or, for one that has to be alone, for all of them.
func (g *gpu) acquire(ctx context.Context, alone bool) error {
	wanted := 1
	if alone {
		// One at a time collects permits: two, each with some of them, would wait for each other for ever.
		select {
		case g.turn <- struct{}{}:
			defer func() { <-g.turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
		wanted = g.Slots
	}
	for got := range wanted {
		select {
		case g.permits <- struct{}{}:
		case <-ctx.Done():
			g.giveBack(got)
			return ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy++
	if g.since.IsZero() {
		g.since = time.Now()
	}
	return nil
}

func (g *gpu) release(alone bool) {
	g.mu.Lock()
	g.busy--
	g.mu.Unlock()
	if alone {
		g.giveBack(g.Slots)
	} else {
		g.giveBack(1)
	}
}

func (g *gpu) giveBack(permits int) {
	for range permits {
		<-g.permits
	}
}

// A moment is what was known of a GPU when a request began.
type moment struct {
	crashes int
	probing bool // it was held, and the request shows whether it is mended
}

func (g *gpu) now() moment {
	g.mu.Lock()
	defer g.mu.Unlock()
	return moment{g.crashes, g.hold.probing}
}

// crashedSince reports whether the runner crashed after that moment: a request that was in flight may be the reason.
func (g *gpu) crashedSince(m moment) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.crashes != m.crashes
}

// once makes one try, in a slot, or while nothing else runs on this GPU. It returns the moment at which it began.
func (g *gpu) once(ctx context.Context, request pipeline.Request, alone bool) (pipeline.Completion, moment, error) {
	if err := g.await(ctx); err != nil {
		return pipeline.Completion{}, moment{}, err
	}
	if err := g.acquire(ctx, alone); err != nil {
		return pipeline.Completion{}, moment{}, err
	}
	defer g.release(alone)
	began := g.now()
	completion, err := g.Model.Generate(ctx, request)
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
