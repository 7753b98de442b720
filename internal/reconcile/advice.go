package reconcile

import (
	"slices"
	"strconv"

	"gleaner/internal/advice"
	"gleaner/internal/failures"
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
	return l.secondOpinion() + l.cure()
}

// command returns the command of a verb of dead for the letter's batch.
func (l Letter) command(verb string, flags ...string) string {
	return advice.Command("dead "+verb, append(l.flags(), flags...)...)
}

// flags choose the letter.
func (l Letter) flags() []string { return []string{"--run", l.Run, "--batch", strconv.Itoa(l.Batch)} }

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
func (l Letter) cure() string {
	if l.waitsForRoom() {
		return l.command("redrive")
	}
	return failures.OfLetter(l.DeadLetter, l.flags()...).Sentence()
}

// waitsForRoom reports whether generations of the letter only had no room in a message.
func (l Letter) waitsForRoom() bool { return slices.ContainsFunc(doubtful(l.DeadLetter), isCrowded) }
