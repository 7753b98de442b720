package consumer

import (
	"context"
	"time"

	"gleaner/internal/pipeline"
)

const (
	tries      = 3           // of one generation on this GPU while failures are retryable
	firstPause = time.Second // before the second try; doubled before the third
	maxPause   = 30 * time.Second
	tokenBytes = 3 // bytes of a token, estimated low, so that the room that is left is estimated low too
)

// generate asks for one answer until it is there or the verdict on it is final. It holds a permit only while the
// model works.
func (g *gpu) generate(ctx context.Context, work pipeline.Work, generation pipeline.Generation) (pipeline.Result, error) {
	request := pipeline.Request{Model: work.Model, System: work.System, Prompt: generation.Prompt, Seed: generation.Seed, Options: work.Options}
	pause := firstPause
	for failed, roomier, reseeded := 0, false, false; ; {
		completion, err := g.once(ctx, request)
		if err == nil {
			return g.result(generation, request, completion), nil
		}
		if ctx.Err() != nil {
			return pipeline.Result{}, &pipeline.Failure{Class: pipeline.Interrupted, Err: context.Cause(ctx)}
		}
		switch class := pipeline.ClassOf(err); {
		case class == pipeline.Truncated && !roomier && g.hasRoom(request, completion):
			roomier = true
			request.Options.NumPredict *= 2
		case class == pipeline.Degenerate && !reseeded:
			reseeded = true
			request.Seed = pipeline.Seed(request.Seed, pipeline.GenerationID(work.Run, generation.Item, generation.Sample))
		case class == pipeline.Retryable && failed+1 < tries:
			failed++
			sleep(ctx, jitter(pause))
			pause = min(2*pause, maxPause)
		default:
			return pipeline.Result{}, err
		}
	}
}

// once makes one try, in a slot.
func (g *gpu) once(ctx context.Context, request pipeline.Request) (pipeline.Completion, error) {
	if err := g.acquire(ctx); err != nil {
		return pipeline.Completion{}, err
	}
	defer g.release()
	return g.Model.Generate(ctx, request)
}

// hasRoom reports whether twice the tokens would fit into the context. The completion that was cut off tells how
// many the prompt has, if the model counted them.
func (g *gpu) hasRoom(r pipeline.Request, cut pipeline.Completion) bool {
	prompt := cut.PromptTokens
	if prompt == 0 {
		prompt = (len(r.System) + len(r.Prompt)) / tokenBytes
	}
	return 2*r.Options.NumPredict <= pipeline.MaxNumPredict && (g.Context == 0 || prompt+2*r.Options.NumPredict <= g.Context)
}

func (g *gpu) result(generation pipeline.Generation, request pipeline.Request, completion pipeline.Completion) pipeline.Result {
	g.count(completion.OutputTokens)
	result := pipeline.Result{
		Index: generation.Index, Item: generation.Item, Sample: generation.Sample,
		Text: completion.Text, Finish: completion.Finish,
		PromptTokens: completion.PromptTokens, OutputTokens: completion.OutputTokens,
		DurationMS: int(completion.Duration.Milliseconds()), CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	if request.Seed != generation.Seed {
		result.Seed = request.Seed
	}
	return result
}
