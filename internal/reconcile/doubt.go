package reconcile

import (
	"slices"
	"time"

	"gleaner/internal/pipeline"
)

// A verdict is what a second opinion depends on, of one failure in a dead letter.
type verdict struct {
	index   int
	doubt   pipeline.Doubt
	exceeds bool
	crowded bool // it waits for room in a message, and no GPU has judged it
	context int  // of the judge
	needs   int
	judge   pipeline.LaneID
	outcome int // 0: not known, as in letters of earlier versions
}

// verdicts is what a reconciler remembers about the dead letter of a batch.
type verdicts struct {
	round    int
	sequence uint64 // of the letter; 0: there is none that explains the batch
	judged   []pipeline.LaneID
	doubtful []verdict
	first    time.Time                     // when this process saw them first
	seen     map[pipeline.LaneID]time.Time // the last reports of the judges at that time
	pass     int                           // the last look that saw the batch dead
}

func isCrowded(v verdict) bool { return v.crowded }

// doubtful returns the verdicts of a letter that another GPU may change, as far as the letter alone
// can tell. Verdicts of earlier versions, which do not say when they were given, cannot be proven,
// and are not doubted.
func doubtful(letter pipeline.DeadLetter) (verdicts []verdict) {
	for _, f := range letter.Failures {
		v := verdict{
			index: f.Index, doubt: f.Class.Rule().Doubt, exceeds: f.Exceeds, crowded: f.Crowded, context: f.Context, needs: f.Needs,
			judge: judgeOf(letter, f), outcome: f.Outcome,
		}
		if !f.Doubtful() || !v.exceeds && v.doubt == pipeline.DoubtUnproven && v.outcome == 0 {
			continue
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// judgeOf returns the GPU whose verdict a failure is.
func judgeOf(letter pipeline.DeadLetter, f pipeline.GenerationFailure) pipeline.LaneID {
	if f.Judge != (pipeline.LaneID{}) {
		return f.Judge
	}
	return pipeline.LaneID{Consumer: letter.Consumer, GPU: letter.GPU}
}

// judgedBy returns the GPUs that judged a batch.
func judgedBy(letter pipeline.DeadLetter) []pipeline.LaneID {
	judged := slices.Clone(letter.Judged)
	if last := (pipeline.LaneID{Consumer: letter.Consumer, GPU: letter.GPU}); last.Consumer != pipeline.Sender && !slices.Contains(judged, last) {
		judged = append(judged, last)
	}
	return judged
}

// A lane is a GPU of a consumer that is present.
type lane struct {
	pipeline.GPUStatus
	seen time.Time // when it was reported, by its consumer's clock
}

// A fleet is the GPUs of one run, as their consumers reported them.
type fleet struct {
	lanes map[pipeline.LaneID]lane
	pins  map[pipeline.EngineName]string
	only  string // see Config.Consumer
}

func fleetOf(run pipeline.Run, consumers []pipeline.Presence) fleet {
	f := fleet{lanes: map[pipeline.LaneID]lane{}, pins: run.Pins}
	for _, c := range consumers {
		if c.Run != run.Name {
			continue
		}
		for _, g := range c.GPUs {
			f.lanes[pipeline.LaneID{Consumer: c.ID, GPU: g.Name}] = lane{g, c.Seen}
		}
	}
	return f
}

// serving returns how many GPUs serve the run.
func (f fleet) serving() (n int) {
	for _, l := range f.lanes {
		if l.State == pipeline.GPUServing {
			n++
		}
	}
	return n
}

// A chance is whether a GPU may do better than a verdict.
type chance int

const (
	chanceNone  chance = iota
	chanceLater        // of a GPU that is on its way to serving
	chanceNow
)

// better returns whether a GPU that has not judged the batch may do better than a verdict. GPUs
// that do not say which engine they have belong to consumers of earlier versions, which cannot read
// a message with verdicts.
func (f fleet) better(v verdict, judged []pipeline.LaneID) chance {
	best := chanceNone
	if f.only != "" && f.only != v.judge.Consumer && !v.exceeds {
		return best
	}
	for id, l := range f.lanes {
		if slices.Contains(judged, id) || id == v.judge || l.Engine == "" { // the judge may be one of a round before
			continue
		}
		if pin := f.pins[l.Engine]; pin != "" && pin != pipeline.PinAny && l.Digest != "" && l.Digest != pin {
			continue
		}
		switch later := l.State.Preparing() || l.State == pipeline.GPURestarting; {
		case l.State == pipeline.GPUServing && v.fits(l.Context):
			return chanceNow
		case later && (l.Context == 0 || v.fits(l.Context)):
			best = chanceLater
		}
	}
	return best
}

// fits reports whether a context is larger than the one that a verdict is about, if it is about
// one.
func (v verdict) fits(tokens int) bool {
	return !v.exceeds || v.context+v.needs > 0 && tokens > v.context && tokens >= v.needs
}

// least returns the tokens of context that the next judge of a verdict needs.
func (v verdict) least() int {
	if !v.exceeds {
		return 0
	}
	return max(v.needs, v.context+1)
}

// A worth is what becomes of a doubtful verdict.
type worth int

const (
	final   worth = iota // it stays, unless another GPU comes
	waiting              // it is not certain yet whether it stays
	wanted               // another GPU shall judge
)

// weigh decides about a verdict that this process knows for some time.
func (f fleet) weigh(v verdict, n *verdicts, known map[pipeline.LaneID]shown, patient bool) worth {
	if v.crowded {
		return wanted
	}
	unproven := !v.exceeds && v.doubt == pipeline.DoubtUnproven
	if unproven && known[v.judge].proves(v.outcome) {
		return final
	}
	chance := f.better(v, n.judged)
	judge := f.lanes[v.judge]
	switch {
	case chance == chanceNone || chance == chanceLater && !patient:
		return final
	case chance == chanceLater:
		return waiting
	case unproven && patient && known[v.judge].proven < v.outcome && judge.State == pipeline.GPUServing && (judge.Busy > 0 || judge.seen.Equal(n.seen[v.judge])):
		return waiting // it may still prove that it works
	}
	return wanted
}
