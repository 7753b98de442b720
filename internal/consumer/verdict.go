package consumer

import (
	"errors"
	"math"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// A try is one generation with what came of it.
type try struct {
	generation pipeline.Generation
	request    pipeline.Request    // the last one
	completion pipeline.Completion // of a failure: what there was of it
	attempts   int
	began      time.Time
}

// verdict returns why a generation has no answer, with all that tells others whether another GPU
// may do better.
func (l *lane) verdict(t try, err error) pipeline.GenerationFailure {
	model := l.model.Known()
	f := pipeline.GenerationFailure{
		Generation: t.generation, Class: pipeline.ClassOf(err), Message: text.Shorten(err.Error(), maxMessageBytes), Attempts: t.attempts,
		Judge: l.id, Engine: model.Engine, Digest: digestOf(model), Context: l.contextLength(), PromptTokens: max(t.completion.PromptTokens, 0),
	}
	if !t.began.IsZero() {
		f.Seconds = math.Round(time.Since(t.began).Seconds()*1000) / 1000
	}
	if f.Class == pipeline.Truncated {
		f.Text, f.Endless = t.completion.Text, errors.Is(err, pipeline.ErrEndless)
	}
	if tooLong := new(pipeline.ContextError); errors.As(err, &tooLong) {
		f.Exceeds, f.PromptTokens = true, max(tooLong.PromptTokens, f.PromptTokens)
		if tooLong.Context > 0 {
			f.Context = tooLong.Context
		}
	}
	f.Exceeds = f.Exceeds || fillsContext(f, t)
	if f.Exceeds {
		f.Needs = max(f.Context, f.PromptTokens, pipeline.ContentBytes(t.request.Messages)/maxTokenSize) + 1
	}
	return f
}

// fillsContext reports whether an answer was cut off because the context was full, before it had as
// many tokens as it may have.
func fillsContext(f pipeline.GenerationFailure, t try) bool {
	return f.Class == pipeline.Truncated && f.Context > 0 && t.completion.PromptTokens > 0 &&
		t.completion.PromptTokens+t.completion.OutputTokens >= f.Context && t.completion.OutputTokens < t.request.Options.NumPredict
}

// undeliverable returns the verdict on a generation that is not run, because its message was
// delivered too often.
func (l *lane) undeliverable(generation pipeline.Generation, deliveries int) pipeline.GenerationFailure {
	return l.verdict(try{generation: generation}, pipeline.Fail(pipeline.Undeliverable, "delivered %d times without an outcome, not run again", deliveries))
}
