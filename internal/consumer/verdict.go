package consumer

import (
	"errors"
	"math"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// verdict returns why a generation has no answer, with all that tells others whether another GPU
// may do better. The completion is what there was of the last attempt.
func (l *lane) verdict(r *retry, completion pipeline.Completion, err error) pipeline.GenerationFailure {
	model := l.model.Known()
	f := pipeline.GenerationFailure{
		Generation: r.generation, Class: pipeline.ClassOf(err), Message: text.Shorten(err.Error(), maxMessageBytes), Attempts: r.attempts,
		Judge: l.id, Engine: model.Engine, Digest: digestOf(model), Context: l.contextLength(), PromptTokens: max(completion.PromptTokens, 0),
	}
	if !r.began.IsZero() {
		f.Seconds = math.Round(time.Since(r.began).Seconds()*1000) / 1000
	}
	switch f.Class {
	case pipeline.Truncated:
		f.Text, f.Endless = completion.Text, errors.Is(err, pipeline.ErrEndless)
	case pipeline.Malformed:
		f.Text = completion.Text
	}
	if tooLong := new(pipeline.ContextError); errors.As(err, &tooLong) {
		f.Exceeds, f.PromptTokens = true, max(tooLong.PromptTokens, f.PromptTokens)
		if tooLong.Context > 0 {
			f.Context = tooLong.Context
		}
	}
	f.Exceeds = f.Exceeds || fillsContext(f, r, completion)
	if f.Exceeds {
		f.Needs = max(f.Context, f.PromptTokens, r.request.PromptBytes()/maxTokenSize) + 1
	}
	return f
}

// fillsContext reports whether an answer was cut off because the context was full, before it had as
// many tokens as it may have.
func fillsContext(f pipeline.GenerationFailure, r *retry, completion pipeline.Completion) bool {
	return f.Class == pipeline.Truncated && f.Context > 0 && completion.PromptTokens > 0 &&
		completion.PromptTokens+completion.OutputTokens >= f.Context && completion.OutputTokens < r.request.Options.NumPredict
}
