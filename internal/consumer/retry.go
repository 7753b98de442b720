package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	maxTries      = 3           // of one generation on this GPU while its failures may pass
	poisonCrashes = 2           // of the runner while a generation runs alone, which make it poison
	firstPause    = time.Second // before the second try; doubled before the third
	maxPause      = 30 * time.Second
	minTokenSize  = 3 // bytes of a token, estimated low, so that the room that is left is estimated low, too
)

// A retry is the way of one generation to its answer, or to the verdict on it. What is tried after
// a failure stands in pipeline's table of classes.
//
// After a crash of the runner everything that was in flight is suspect. The order of events:
//
//  1. The runner crashes. A request that is answered with the crash counts it; the others may learn
//     only that their connection broke, and later.
//  2. Each generation pauses, and then finds that the count has changed since its attempt began.
//     That attempt does not count against it.
//  3. Each is tried again alone: it waits until nothing else is in flight on this GPU.
//  4. One that is answered is innocent. One that crashes the runner, alone, is tried once more.
//  5. One that crashes it alone twice is poison, unless a canary crashes the runner just as well:
//     then the GPU is broken, and nothing is said about the generation.
//
// A request that stalled is tried again alone, too: a runner that hangs is mended by its server
// only when no request waits for it.
type retry struct {
	gpu       *requester
	request   pipeline.Request
	otherSeed int
	context   func() int // tokens of prompt and answer together; 0: not known

	attempts int // how often the model was asked, without those that a crash for another reason ended
	failed   int // attempts whose failure may pass
	crashes  int // of the runner while it ran alone
	alone    bool
	roomier  bool
	reseeded bool
	pause    time.Duration
}

// Run asks until the answer is there or the verdict is final.
func (r *retry) Run(ctx context.Context) (pipeline.Completion, error) {
	r.pause = firstPause
	for {
		a := r.gpu.Attempt(ctx, r.request, r.alone)
		if ctx.Err() != nil && a.err != nil {
			return pipeline.Completion{}, interrupted(ctx)
		}
		r.attempts++
		r.gpu.breaker.Observe(a.probe, a.err)
		if a.err == nil {
			return a.completion, nil
		}
		switch again := pipeline.ClassOf(a.err).Rule().Retry; {
		case again == pipeline.RetryMoreRoom && !r.roomier && r.hasRoom(a.completion):
			r.roomier = true
			r.request.Options.NumPredict *= 2
		case again == pipeline.RetryNewSeed && !r.reseeded:
			r.reseeded = true
			r.request.Seed = r.otherSeed
		case again == pipeline.RetryBackoff:
			if err := r.backOff(ctx, a); err != nil {
				return pipeline.Completion{}, err
			}
		default:
			if needsPerson(a.err) {
				r.gpu.breaker.ProbeWith(r.request)
			}
			return pipeline.Completion{}, a.err
		}
	}
}

// backOff pauses after a failure that may pass, and returns nil if the generation is to be tried
// again, else the verdict.
func (r *retry) backOff(ctx context.Context, a attempt) error {
	if errors.Is(a.err, errAway) { // it was waited for already
		return a.err
	}
	if r.alone && errors.Is(a.err, pipeline.ErrRunnerCrashed) {
		if r.crashes++; r.crashes < poisonCrashes {
			return nil
		}
		return r.afterCrashes(ctx, a.err)
	}
	if outage.Sleep(ctx, outage.Jitter(r.pause)) != nil {
		return interrupted(ctx)
	}
	if !r.alone && r.gpu.crashedSince(a) { // asked after the pause, when all have learned of the crash
		r.alone = true
		r.attempts--
		return nil
	}
	r.alone = r.alone || errors.Is(a.err, pipeline.ErrStalled)
	r.pause = min(2*r.pause, maxPause)
	if r.failed++; r.failed < maxTries {
		return nil
	}
	return r.afterTries(ctx, a.err)
}

// afterTries returns the verdict on a generation that was tried often enough. It is left to another
// GPU; but if the server fails with a canary as well, then so does what comes after it.
func (r *retry) afterTries(ctx context.Context, failure error) error {
	err := r.gpu.Canary(ctx, r.request, false)
	switch {
	case err == nil || errors.Is(err, pipeline.ErrRunnerCrashed): // that crash may be due to another request
		return failure
	case ctx.Err() != nil:
		return interrupted(ctx)
	}
	r.gpu.breaker.ProbeWith(r.request)
	if needsPerson(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errAway, failure)
}

// afterCrashes returns the verdict on a generation that crashed the runner alone: poison, unless
// the runner crashes without it just as well.
func (r *retry) afterCrashes(ctx context.Context, failure error) error {
	err := r.gpu.Canary(ctx, r.request, true)
	switch {
	case err == nil:
		return pipeline.Fail(pipeline.Poison, "it crashed the runner %d times while nothing else ran: %w", r.crashes, failure)
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.Is(err, pipeline.ErrRunnerCrashed):
		r.gpu.breaker.ProbeWith(r.request)
		return pipeline.Fail(pipeline.Fatal, "the runner crashes with everything, look at the log of the server and at the GPU's memory: %w", err)
	}
	return err
}

// hasRoom reports whether twice the tokens would fit into the context. The completion that was
// cut off has the number of the prompt's tokens, if the model counted them.
func (r *retry) hasRoom(cut pipeline.Completion) bool {
	prompt := cut.PromptTokens
	if prompt == 0 {
		prompt = pipeline.ContentBytes(r.request.Messages) / minTokenSize
	}
	wanted, room := 2*r.request.Options.NumPredict, r.context()
	return wanted <= pipeline.MaxNumPredict && (room == 0 || prompt+wanted <= room)
}
