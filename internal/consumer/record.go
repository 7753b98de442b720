package consumer

import (
	"errors"
	"slices"
	"sync"

	"gleaner/internal/pipeline"
)

// streakLimit is how many outcomes in a row without an answer say that the GPU may be broken.
const streakLimit = 8

// fewVerdicts is how many in a row keep a lane from taking spare batches: they would be begun, too,
// before the doubt is there.
const fewVerdicts = 2

// A record is what a lane's outcomes say about the GPU. Outcomes are verdicts and stored answers,
// and are numbered in the order in which they are known.
type record struct {
	mu       sync.Mutex
	outcomes int
	proven   int                     // see pipeline.GPUStatus
	doubted  int                     // the number of the newest verdict that holds only if the GPU works
	request  *pipeline.Request       // of that verdict
	streak   int                     // verdicts of this server in a row, since the last answer
	streakOn int                     // the number of the first of them
	streakAt int                     // the number of the last of them
	long     []pipeline.OutcomeRange // rows of verdicts that are over, see pipeline.GPUStatus
	thoughts int                     // answers from which thinking was taken off
}

// Begin returns the number of the last outcome before an answer that begins now.
func (r *record) Begin() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes
}

// Verdict counts a verdict, and returns its number and how many there were in a row. A prompt that
// is longer than the context says nothing about the GPU.
func (r *record) Verdict(request pipeline.Request, err error) (number, streak int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes++
	if pipeline.ClassOf(err).Rule().Doubt == pipeline.DoubtUnproven {
		r.doubted, r.request = r.outcomes, &request
	}
	if tooLong := new(pipeline.ContextError); !errors.As(err, &tooLong) {
		if r.streak == 0 {
			r.streakOn = r.outcomes
		}
		r.streak, r.streakAt = r.streak+1, r.outcomes
	}
	return r.outcomes, r.streak
}

// Restart ends a row of verdicts, because the next ones are those of another server.
func (r *record) Restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endStreak()
}

// endStreak ends a row of verdicts, and keeps which ones they were if they were many. The caller
// holds mu.
func (r *record) endStreak() {
	if r.streak >= streakLimit {
		r.long = append(r.long, pipeline.OutcomeRange{First: r.streakOn, Last: r.streakAt})
		r.long = r.long[max(0, len(r.long)-pipeline.MaxDoubtedNamed):]
	}
	r.streak = 0
}

// Doubted returns the rows of verdicts in which the GPU may have been broken, with the one that is
// not over.
func (r *record) Doubted() []pipeline.OutcomeRange {
	r.mu.Lock()
	defer r.mu.Unlock()
	doubted := slices.Clone(r.long)
	if r.streak >= streakLimit {
		doubted = append(doubted, pipeline.OutcomeRange{First: r.streakOn, Last: r.streakAt})
	}
	return doubted[max(0, len(doubted)-pipeline.MaxDoubtedNamed):]
}

// Streak returns how many verdicts there were in a row.
func (r *record) Streak() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streak
}

// Answered takes in an answer, with what Begin returned when it began. One that began before a row
// of verdicts does not end it: a GPU may break in the middle of its work.
func (r *record) Answered(begun int, completion pipeline.Completion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if begun >= r.streakOn {
		r.endStreak()
	}
	if completion.Thinking > 0 {
		r.thoughts++
	}
}

// Stored counts answers that were published, each with what Begin returned when it began. It
// reports whether one of them began after all verdicts in a row.
func (r *record) Stored(begun []int) (after bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, number := range begun {
		r.outcomes++
		r.proven = max(r.proven, number)
		after = after || number >= r.streakAt
	}
	return after
}

// Passed takes in that the GPU passed a canary that began at this number.
func (r *record) Passed(number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proven = max(r.proven, number)
}

// Proven returns which verdicts hold, see pipeline.GPUStatus.
func (r *record) Proven() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proven
}

// Waiting returns the request of a verdict that is not proven, or nil.
func (r *record) Waiting() *pipeline.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doubted > r.proven {
		return r.request
	}
	return nil
}

// Settled reports whether verdicts are proven now that were not when that many were.
func (r *record) Settled(proven int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proven > proven && r.doubted > proven
}

// Thoughts returns from how many answers thinking was taken off.
func (r *record) Thoughts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.thoughts
}
