package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/pipeline"
)

const (
	tries      = 3           // of one generation on this GPU while failures are retryable
	convicting = 2           // crashes of the runner while a generation runs alone, which make it poison
	firstPause = time.Second // before the second try; doubled before the third
	maxPause   = 30 * time.Second
	tokenBytes = 3 // bytes of a token, estimated low, so that the room that is left is estimated low too
)

// A trial is the way of one generation to its answer, or to the verdict on it.
type trial struct {
	request  pipeline.Request
	attempts int // how often the model was asked, without those that somebody else's crash ended
	failed   int // attempts with a retryable failure
	crashes  int // of the runner while it ran alone
	alone    bool
	roomier  bool
	reseeded bool
	pause    time.Duration
}

// generate asks for one answer until it is there or the verdict on it is final. It holds a permit
// only while the model works. It also returns how many attempts that took.
func (g *lane) generate(ctx context.Context, work pipeline.Work, generation pipeline.Generation) (pipeline.Result, int, error) {
	t := &trial{
		request: work.Request(generation),
		pause:   firstPause,
	}
	other := pipeline.Seed(generation.Seed, pipeline.GenerationID(work.Run, generation.Item, generation.Sample))
	for {
		completion, began, err := g.once(ctx, t.request, t.alone)
		if ctx.Err() != nil && err != nil {
			return pipeline.Result{}, t.attempts, interrupted(ctx)
		}
		t.attempts++
		class := pipeline.ClassOf(err)
		if began.probing && (err == nil || class.IsOutcome()) {
			g.mended()
		}
		switch {
		case err == nil:
			result := g.result(generation, completion)
			if work.Reseeded || t.reseeded {
				result.Seed = t.request.Seed
			}
			return result, t.attempts, nil
		case class == pipeline.Truncated && !t.roomier && g.hasRoom(t.request, completion):
			t.roomier = true
			t.request.Options.NumPredict *= 2
		case class == pipeline.Degenerate && !t.reseeded:
			t.reseeded = true
			t.request.Seed = other
		case class == pipeline.Retryable:
			if err := g.retry(ctx, t, began, err); err != nil {
				return pipeline.Result{}, t.attempts, err
			}
		case class == pipeline.Fatal:
			g.blame(t.request)
			return pipeline.Result{}, t.attempts, err
		default:
			return pipeline.Result{}, t.attempts, err
		}
	}
}

// retry rests after a retryable failure and returns nil if the generation is to be tried again,
// else the verdict.
//
// After a crash of the runner everything that was in flight is suspect. A suspect is tried again
// alone, and what happened to it in company is not charged to it. Who crashes the runner alone,
// too, and more than once, is poison. A request that stalled is tried again alone as well: a
// runner that hangs is mended only when nothing waits for it.
func (g *lane) retry(ctx context.Context, t *trial, began moment, failure error) error {
	if errors.Is(failure, errAway) { // it was waited for already
		return failure
	}
	if t.alone && errors.Is(failure, pipeline.ErrRunnerCrashed) {
		if t.crashes++; t.crashes < convicting {
			return nil
		}
		return g.convict(ctx, t, failure)
	}
	if !sleep(ctx, jitter(t.pause)) {
		return interrupted(ctx)
	}
	// Asked only now: others may have heard of the crash later than this one of its broken
	// connection.
	if !t.alone && g.crashedSince(began) {
		t.alone = true
		t.attempts--
		return nil
	}
	t.alone = t.alone || errors.Is(failure, pipeline.ErrStalled)
	t.pause = min(2*t.pause, maxPause)
	if t.failed++; t.failed < tries {
		return nil
	}
	return g.giveUp(ctx, t, failure)
}

// giveUp returns the verdict on a generation that was tried often enough. It belongs to another
// GPU, and if the server fails with everything then so does what comes after it.
func (g *lane) giveUp(ctx context.Context, t *trial, failure error) error {
	err := g.canary(ctx, t.request, false)
	switch {
	case err == nil || errors.Is(err, pipeline.ErrRunnerCrashed): // somebody else's crash, perhaps
		return failure
	case ctx.Err() != nil:
		return interrupted(ctx)
	}
	g.blame(t.request)
	if pipeline.ClassOf(err) == pipeline.Fatal {
		return err
	}
	return fmt.Errorf("%w: %w", errAway, failure)
}

// convict returns the verdict on a generation that crashed the runner alone: poison, unless the
// runner crashes without it just as well. Then the GPU is broken.
func (g *lane) convict(ctx context.Context, t *trial, failure error) error {
	err := g.canary(ctx, t.request, true)
	switch {
	case err == nil:
		return pipeline.Fail(pipeline.Poison, "it crashed the runner %d times while nothing else ran: %w", t.crashes, failure)
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.Is(err, pipeline.ErrRunnerCrashed):
		g.blame(t.request)
		return pipeline.Fail(pipeline.Fatal, "the runner crashes with everything, look at the log of the server and at the GPU's memory: %w", err)
	}
	return err
}

func interrupted(ctx context.Context) error {
	return &pipeline.Failure{Class: pipeline.Interrupted, Err: context.Cause(ctx)}
}

// hasRoom reports whether twice the tokens would fit into the context. The completion that was
// cut off tells how many the prompt has, if the model counted them.
func (g *lane) hasRoom(r pipeline.Request, cut pipeline.Completion) bool {
	prompt := cut.PromptTokens
	if prompt == 0 {
		prompt = pipeline.ContentBytes(r.Messages) / tokenBytes
	}
	g.mu.Lock()
	room := g.Context
	g.mu.Unlock()
	return 2*r.Options.NumPredict <= pipeline.MaxNumPredict && (room == 0 || prompt+2*r.Options.NumPredict <= room)
}

func (g *lane) result(generation pipeline.Generation, completion pipeline.Completion) pipeline.Result {
	g.count(completion.OutputTokens)
	return pipeline.Result{
		Index: generation.Index, Item: generation.Item, Sample: generation.Sample,
		Text: completion.Text, Finish: completion.Finish,
		PromptTokens: completion.PromptTokens, OutputTokens: completion.OutputTokens,
		DurationMS: int(completion.Duration.Milliseconds()), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}
