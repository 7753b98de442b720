package consumer

import (
	"context"
	"errors"
	"strings"

	"gleaner/internal/pipeline"
)

// canaryTokens is how long the answer to a canary may be: long enough to show that a model repeats
// itself.
const canaryTokens = 32

// canaryTries is how many canaries have to fail in a row before a server counts as away.
const canaryTries = 5

// Canary asks for a few words with the model and the options of a request that failed, but not with
// its prompt. If this fails, too, the prompt was not the reason. An answer that is empty, repeats
// itself or was broken off is none; one that only had no more room is, if it used what it had.
func (r *requester) Canary(ctx context.Context, failed pipeline.Request, alone bool) error {
	number := r.record.Begin()
	a := r.Attempt(ctx, withoutSchema(failed).Asking(pipeline.CanaryPrompt, canaryTokens), alone)
	if a.err != nil && pipeline.ClassOf(a.err) != pipeline.Truncated {
		return a.err
	}
	switch said := strings.TrimSpace(a.completion.Text); {
	case a.err != nil && a.completion.OutputTokens > 0 && a.completion.OutputTokens < canaryTokens:
		return pipeline.Fail(pipeline.Degenerate, "the canary was cut off after %d of %d tokens: %w", a.completion.OutputTokens, canaryTokens, a.err)
	case said == "" && a.completion.Thinking == 0:
		return pipeline.Fail(pipeline.Degenerate, "the canary: %w", pipeline.ErrEmpty)
	case repeats(said):
		return pipeline.Fail(pipeline.Degenerate, "the canary: %w: %.32q", pipeline.ErrRepeats, said)
	}
	r.record.Passed(number)
	return nil
}

// Canaries asks for a few words, and if much depends on the answer a few times: on a server that
// fails now and then with everything, one failure does not say that it is away. One that asks to
// wait is not asked again.
func (r *requester) Canaries(ctx context.Context, failed pipeline.Request, matters bool) (err error) {
	tries := 1
	if matters {
		tries = canaryTries
	}
	for range tries {
		err = r.Canary(ctx, failed, false)
		if _, wait := askedToWait(err); wait || err == nil || ctx.Err() != nil || answered(err) || needsPerson(err) || errors.Is(err, pipeline.ErrStalled) || errors.Is(err, errAway) {
			break
		}
	}
	return err
}

const (
	minRepeated = 24 // bytes of a text of which it can be said that it repeats itself
	minRepeats  = 6
)

// repeats reports whether a text is nothing but the same few bytes again and again.
func repeats(text string) bool {
	if len(text) < minRepeated {
		return false
	}
	for period := 1; period*minRepeats <= len(text); period++ {
		if text[period:] == text[:len(text)-period] {
			return true
		}
	}
	return false
}
