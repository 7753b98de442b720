package reconcile

import (
	"fmt"
	"slices"
	"strconv"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

// Advice says what a person can do about a dead letter, with the command that does it.
func (l Letter) Advice() string {
	redrive, drop := l.command("redrive"), l.command("drop", "--yes")
	if l.orphaned() {
		drop = advice.Command("dead drop", "--orphaned", "--yes")
		if pipeline.ValidateRunName(l.Run) == nil { // of one that cannot be read, the subject's
			drop = l.command("drop", "--orphaned", "--yes")
		}
	}
	follow := l.follow()
	switch l.Disposition {
	case UnderWay:
		return "nothing: its batch is on the way again, or the sink has not read this letter yet"
	case Stale:
		return "nothing: all its answers are stored; " + follow + " removes the letter, and so does " + redrive
	case Dropped:
		return "nothing: its batch was given up; " + follow + " removes the letter, and so does " + drop
	case Orphaned:
		return "nothing: remove the letter with " + drop
	case Unreadable:
		return follow + " gives its batch another round if it needs one; remove the letter with " + drop
	}
	return l.secondOpinion() + l.cure(redrive, drop)
}

// command returns the command of a verb of dead for the letter's batch.
func (l Letter) command(verb string, flags ...string) string {
	return advice.Command("dead "+verb, append([]string{"--run", l.Run, "--batch", strconv.Itoa(l.Batch)}, flags...)...)
}

// follow returns the command that looks after the letter's run. Of a letter that cannot be read
// the name is the subject's, and need not be one.
func (l Letter) follow() string {
	if pipeline.ValidateRunName(l.Run) != nil {
		return advice.Command("publish", "--follow")
	}
	return advice.Command("publish", "--run", l.Run, "--follow")
}

// secondOpinion says whether the letter may get another round by itself.
func (l Letter) secondOpinion() string {
	if l.waitsForRoom() {
		return "nothing while " + l.follow() + " runs, which gives it another round by itself; else "
	}
	if l.Now.Opinions >= pipeline.MaxOpinions || len(doubtful(l.DeadLetter)) == 0 {
		return ""
	}
	return "nothing while " + l.follow() + " runs and another GPU could do better, which then tries it by itself; else "
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
