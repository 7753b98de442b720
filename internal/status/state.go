package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

// A Word says in which state a run is. It is the same in all views.
type Word string

// The words.
const (
	Loading         Word = "loading"
	Planned         Word = "planned" // nothing of it is published
	Running         Word = "running"
	Paused          Word = "paused"
	WaitingConsumer Word = "waiting for a consumer"
	WaitingSink     Word = "waiting for a sink"
	WaitingRoom     Word = "waiting for room"
	WaitingStore    Word = "waiting for the store"
	Complete        Word = "complete"
	Cancelled       Word = "cancelled"
	Deleting        Word = "deleting"
)

// A State says what a run does, why, and since when.
type State struct {
	Word   Word      `json:"word"`
	Failed int       `json:"failed,omitempty"` // generations of a complete run that failed
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"` // zero: not known
}

// String returns the word, of a complete run with how many generations failed.
func (s State) String() string {
	if s.Word == Complete && s.Failed > 0 {
		return fmt.Sprintf("%s with %d failed", s.Word, s.Failed)
	}
	return string(s.Word)
}

// Describe returns the state with its reason.
func (s State) Describe() string {
	if s.Reason == "" {
		return s.String()
	}
	return s.String() + ": " + s.Reason
}

// AtWork reports whether answers may come without anyone doing something about it.
func (s State) AtWork() bool { return s.Word == Running }

const (
	lately     = 30 * time.Second // ago something was stored of a run that runs
	longAgo    = 2 * time.Minute  // the same, where the store alone is asked and consumers are not known
	sinkAfter  = 10 * time.Second // without a sink that asks for results, the run waits for one
	seenWithin = 5 * time.Minute  // ago a consumer reported itself to the store that may work still
)

// signs are what is known of a run besides how far it is.
type signs struct {
	now       time.Time
	run       pipeline.Run
	last      time.Time             // when a batch was done last
	info      *pipeline.RunInfo     // what the queue says; nil: it was not asked, or does not know the run
	depth     *pipeline.StreamDepth // the same
	present   []pipeline.Presence   // consumers of the run
	sees      bool                  // present are all that there are
	elsewhere int                   // consumers of other runs
	away      error                 // why the store cannot be used; nil: it can
}

// decide says in which state the run is.
func (s *Snapshot) decide(g signs) {
	s.State = s.stateOf(g)
	if s.State.Word != Running && s.State.Word != WaitingStore {
		s.PerSecond, s.TokensPerSecond = 0, 0
	}
	s.estimate()
}

func (s *Snapshot) stateOf(g signs) State {
	ended := s.Generations > 0 && s.Stored+s.Failed+s.Dropped >= s.Generations
	switch {
	case g.away != nil:
		return State{Word: WaitingStore, Reason: g.away.Error(), Since: g.last}
	case g.run.State == pipeline.RunLoading:
		return State{Word: Loading, Since: g.run.CreatedAt}
	case g.run.State == pipeline.RunDeleting:
		return State{Word: Deleting}
	case g.run.State == pipeline.RunCancelled:
		return State{Word: Cancelled}
	case ended && s.AwaitOpinion > 0:
		return State{Word: Running, Reason: fmt.Sprintf("%s a second opinion", plural(s.AwaitOpinion, "failed one awaits", "failed ones await"))}
	case ended:
		state := State{Word: Complete, Failed: s.Failed, Since: g.last}
		if s.Dropped > 0 {
			state.Reason = fmt.Sprintf("%d dropped", s.Dropped)
		}
		return state
	case g.run.Paused():
		return State{Word: Paused, Reason: g.run.Pause.Reason, Since: g.run.Pause.Since}
	case g.info != nil && g.info.Paused:
		return State{Word: Paused}
	case s.untouched():
		return State{Word: Planned, Since: g.run.CreatedAt}
	}
	return s.waiting(g)
}

// untouched reports whether nothing of the run was ever published.
func (s *Snapshot) untouched() bool {
	for state, n := range s.Batches {
		if state != pipeline.Planned && n > 0 {
			return false
		}
	}
	return true
}

// waiting tells a run on which something works from one that waits.
func (s *Snapshot) waiting(g signs) State {
	if advice.IsFolder() && g.sees && !slices.ContainsFunc(g.present, func(c pipeline.Presence) bool { return !c.Left() }) {
		return State{Word: WaitingConsumer, Since: g.last, Reason: "no `gleaner run` works in its folder: the same command as before goes on with it"}
	}
	if g.now.Sub(g.last) < lately {
		return State{Word: Running, Reason: s.restReason()}
	}
	if d := g.depth; d != nil {
		switch {
		case d.Results > 0 && d.Untaken >= sinkAfter:
			return State{Word: WaitingSink, Since: g.now.Add(-d.Untaken), Reason: fmt.Sprintf(
				"%s on the queue and none was taken for %s: `%s` stores them; one that runs may wait for its store",
				plural(d.Results, "message with answers is", "messages with answers are"), d.Untaken.Round(time.Second), advice.Command("sink"))}
		case d.Full != "":
			return State{Word: WaitingRoom, Reason: d.Full, Since: g.last}
		case d.Waiting+d.Held == 0 && s.Batches[pipeline.Planned] > 0:
			return State{Word: Planned, Since: g.last, Reason: fmt.Sprintf("%s not published: `%s` does it",
				plural(s.Batches[pipeline.Planned], "batch is", "batches are"), advice.Command("publish", "--run", s.Run, "--follow"))}
		}
	}
	if reason, waits := s.withoutConsumer(g); waits {
		return State{Word: WaitingConsumer, Reason: reason, Since: g.last}
	}
	return State{Word: Running, Reason: s.restReason()}
}

// withoutConsumer reports whether no consumer works on the run, and says why.
func (s *Snapshot) withoutConsumer(g signs) (reason string, waits bool) {
	var first string // of the GPUs, what the first one says
	for _, c := range g.present {
		if c.Left() || !g.sees && g.now.Sub(c.Seen) > seenWithin {
			continue
		}
		for _, gpu := range c.GPUs {
			if gpu.Busy > 0 || gpu.State == pipeline.GPUServing || gpu.State == pipeline.GPUProbing {
				return "", false
			}
			first = cmp.Or(first, gpu.Name+" is "+gpu.Describe())
		}
		first = cmp.Or(first, c.Host+" has no GPU")
	}
	switch {
	case first != "":
		return first, true
	case !g.sees && g.now.Sub(g.last) < longAgo:
		return "", false
	case !g.sees:
		return "no consumer has reported itself, and nothing was stored for a while, as far as the store knows", true
	case g.depth != nil && g.depth.Held > 0:
		return fmt.Sprintf("one that is gone holds %s until the lease ends", plural(g.depth.Held, "batch", "batches")), true
	case g.elsewhere > 0:
		return fmt.Sprintf("%s on other runs", plural(g.elsewhere, "consumer is present and works", "consumers are present and work")), true
	}
	return fmt.Sprintf("none is present: `%s` starts one", advice.Command("work", "--run", s.Run)), true
}

// restReason says why a run that runs makes no answers at present, or nothing.
func (s *Snapshot) restReason() string {
	if s.Resting == nil {
		return ""
	}
	return fmt.Sprintf("%s after a failure, the first is tried again in %s", plural(s.Resting.Batches, "batch rests", "batches rest"),
		time.Duration(s.Resting.Seconds*float64(time.Second)).Round(time.Second))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// of returns those of the consumers that work on a run, and how many others there are.
func of(run string, consumers []pipeline.Presence) (its []pipeline.Presence, others int) {
	its = slices.DeleteFunc(slices.Clone(consumers), func(c pipeline.Presence) bool { return c.Run != run })
	for _, c := range consumers {
		if c.Run != run && !c.Left() {
			others++
		}
	}
	return its, others
}
