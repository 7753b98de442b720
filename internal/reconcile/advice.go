package reconcile

import (
	"fmt"
	"slices"

	"gleaner/internal/pipeline"
)

// Advice says what a person can do about a dead letter, with the command that does it.
func (l Letter) Advice() string {
	command := func(verb string) string {
		return fmt.Sprintf("producer dead %s --run %s --batch %d", verb, l.Run, l.Batch)
	}
	redrive, drop := command("redrive"), command("drop")+" --yes"
	if l.orphaned() {
		drop = "producer dead drop --orphaned --yes"
		if pipeline.ValidateRunName(l.Run) == nil { // of one that cannot be read, the subject's
			drop = command("drop") + " --orphaned --yes"
		}
	}
	switch l.Disposition {
	case UnderWay:
		return "nothing: its batch is on the way again, or the sink has not read this letter yet"
	case Stale:
		return "nothing: all its answers are stored; producer publish --follow removes the letter, and so does " + redrive
	case Dropped:
		return "nothing: its batch was given up; producer publish --follow removes the letter, and so does " + drop
	case Orphaned:
		return "nothing: remove the letter with " + drop
	case Unreadable:
		return "producer publish --follow gives its batch another round if it needs one; remove the letter with " + drop
	}
	return l.secondOpinion() + l.cure(redrive, drop)
}

// secondOpinion says whether the letter may get another round by itself.
func (l Letter) secondOpinion() string {
	if l.waitsForRoom() {
		return "nothing while producer publish --follow runs, which gives it another round by itself; else "
	}
	if l.Now.Opinions >= pipeline.MaxOpinions || len(doubtful(l.DeadLetter)) == 0 {
		return ""
	}
	return "nothing while producer publish --follow runs and another GPU could do better, which then tries it by itself; else "
}

// cure says what a person can do about a letter that waits.
func (l Letter) cure(redrive, drop string) string {
	rule := l.Class.Rule()
	if !rule.Outcome { // no consumer writes such a letter
		rule = pipeline.Undeliverable.Rule()
	}
	switch {
	case l.waitsForRoom():
		return redrive
	case l.needs() > 0:
		return fmt.Sprintf("give the servers a context of %d tokens or more and then %s, or give it up: %s", l.needs(), redrive, drop)
	case rule.Hopeless:
		return fmt.Sprintf("%s and then %s, or give it up: %s", rule.Help, redrive, drop)
	case rule.Retry == pipeline.RetryMoreRoom && l.endless():
		return fmt.Sprintf("the answer does not end, so more room is of no use; try another seed: %s --seed 2, or give it up: %s", redrive, drop)
	case rule.Retry == pipeline.RetryMoreRoom:
		return fmt.Sprintf("%s: %s --num-predict %d", rule.Help, redrive, min(4*l.Options.NumPredict, pipeline.MaxNumPredict))
	case rule.Retry == pipeline.RetryNewSeed:
		return fmt.Sprintf("%s: %s --seed 2", rule.Help, redrive)
	}
	return fmt.Sprintf("%s, then %s", rule.Help, redrive)
}

// waitsForRoom reports whether generations of the letter only had no room in a message.
func (l Letter) waitsForRoom() bool { return slices.ContainsFunc(doubtful(l.DeadLetter), isCrowded) }

// endless reports whether all generations of the letter have answers that did not end.
func (l Letter) endless() bool {
	return len(l.Failures) > 0 && !slices.ContainsFunc(l.Failures, func(f pipeline.GenerationFailure) bool { return !f.Endless })
}

// needs returns the tokens of context that all generations of the letter need which did not fit, as
// far as that is known.
func (l Letter) needs() (tokens int) {
	for _, f := range l.Failures {
		if f.Exceeds {
			tokens = max(tokens, f.Needs)
		}
	}
	return tokens
}
