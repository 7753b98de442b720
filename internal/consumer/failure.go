package consumer

import (
	"context"
	"errors"

	"gleaner/internal/pipeline"
)

// What a failure means is said by pipeline's table of classes. The functions here ask it on behalf
// of a batch and of its GPU, and add two cases that only a GPU can know: errAway and errSetAside.

// errAway says that the server failed with a simple request, too: the prompt is not the reason.
var errAway = errors.New("the server answers nothing at present")

// answered reports whether the model answered, be it with something that is no result. So the GPU
// works.
func answered(err error) bool { return err == nil || pipeline.ClassOf(err).IsOutcome() }

// opensBreaker reports whether a GPU takes no work after this failure, until a probe succeeds.
func opensBreaker(err error) bool { return needsPerson(err) || errors.Is(err, errAway) }

// needsPerson reports whether a person has to mend something before the GPU can work.
func needsPerson(err error) bool { return err != nil && handBack(err) == pipeline.HandBackHold }

// endsBatch reports whether the generations of a batch that come after this failure would fail
// with it as well.
func endsBatch(err error) bool { return isInterruption(err) || opensBreaker(err) }

// isInterruption reports whether a generation was cut: the failure says nothing about it.
func isInterruption(err error) bool { return err != nil && handBack(err) == pipeline.HandBackNow }

func handBack(err error) pipeline.HandBack { return pipeline.ClassOf(err).Rule().HandBack }

// graver returns the failure that decides what becomes of a batch, or the first of two equals.
// Either may be nil. The GPU has to stop after some failures, so these are graver than that the
// batch goes to another GPU. That is graver than all others: it goes there at once.
func graver(a, b error) error {
	if a == nil || gravity(b) > gravity(a) {
		return b
	}
	return a
}

func gravity(err error) int {
	switch {
	case isInterruption(err):
		return 4
	case needsPerson(err):
		return 3
	case errors.Is(err, errAway):
		return 2
	case errors.Is(err, errSetAside):
		return 1
	}
	return 0
}

// interrupted returns the failure of what ctx cut.
func interrupted(ctx context.Context) error {
	return &pipeline.Failure{Class: pipeline.Interrupted, Err: context.Cause(ctx)}
}
