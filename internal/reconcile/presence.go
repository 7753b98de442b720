package reconcile

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

const (
	// Asking who is present transfers the reports of all consumers: for a large fleet the looks are
	// further apart.
	meetEvery  = 15 * time.Second
	meetEvery8 = 15 * time.Second // more for each eight consumers

	tellLanesEvery = 15 * time.Second

	// At the beginning consumers come one after the other, and each takes itself for the only one
	// until it is told otherwise: then each look asks who is present.
	gathering = 2 * time.Minute
)

// told is what was reported last about a run.
type told struct {
	lanes    int
	awaiting int // -1: nothing was reported by this process
	at       time.Time
}

// A shown is what a GPU has shown of itself since this process knows it, see pipeline.GPUStatus.
type shown struct {
	proven  int         // the most
	doubted map[int]int // rows of verdicts: the last of each, by its first
}

// proves reports whether an outcome is one of a GPU that works.
func (s shown) proves(outcome int) bool {
	if s.proven < outcome {
		return false
	}
	for first, last := range s.doubted {
		if first <= outcome && outcome <= last {
			return false
		}
	}
	return true
}

// An attendance is who is present for one run, and what was said to them.
type attendance struct {
	*Engine
	fleet  fleet // as it was met last
	began  time.Time
	meetAt time.Time // when to ask again
	shown  map[pipeline.LaneID]shown
	told   told
	tooOld map[string]bool // consumers that were named because their answers are refused
}

func newAttendance(e *Engine) *attendance {
	return &attendance{Engine: e, began: e.now(), shown: map[pipeline.LaneID]shown{}, told: told{awaiting: -1}}
}

// meet asks who is present, if that is due or the caller needs to know it now.
func (r *attendance) meet(ctx context.Context, run pipeline.Run, now bool) error {
	if !now && r.now().Before(r.meetAt) {
		r.fleet.pins = run.Pins
		return nil
	}
	consumers, err := r.streams.Consumers(ctx)
	if err != nil {
		return err
	}
	if r.now().Sub(r.began) > gathering {
		r.meetAt = r.now().Add(meetEvery + time.Duration(len(consumers)/8)*meetEvery8)
	}
	r.fleet = fleetOf(run, consumers)
	r.fleet.only = r.cfg.Consumer
	r.nameTooOld(run, consumers)
	for id, l := range r.fleet.lanes {
		s := r.shown[id]
		s.proven = max(s.proven, l.Proven)
		for _, row := range l.Doubted[:min(len(l.Doubted), pipeline.MaxDoubtedNamed)] {
			if s.doubted == nil {
				s.doubted = map[int]int{}
			}
			s.doubted[row.First] = max(s.doubted[row.First], row.Last)
		}
		r.shown[id] = s
	}
	return nil
}

// tell reports what has changed about the run, if somebody may read it: the number of GPUs is for
// consumers, and how many generations wait for a second opinion is for people.
func (r *attendance) tell(ctx context.Context, run pipeline.Run, awaiting int) error {
	lanes, now := r.fleet.serving(), r.now()
	alone := r.told.lanes < 2 // a GPU that knows of another one behaves otherwise
	news := lanes != r.told.lanes && len(r.fleet.lanes) > 0 && (alone || now.Sub(r.told.at) >= tellLanesEvery)
	if !news && awaiting == r.told.awaiting {
		return nil
	}
	if err := r.streams.ReportRun(ctx, run, lanes, awaiting); err != nil {
		return err
	}
	r.told = told{lanes, awaiting, now}
	return nil
}

// nameTooOld says which consumers of the run bring no tokens back, each once while it is present.
func (r *attendance) nameTooOld(run pipeline.Run, consumers []pipeline.Presence) {
	named := map[string]bool{}
	for _, c := range consumers {
		if !run.TooOld(c) {
			continue
		}
		if named[c.ID] = true; !r.tooOld[c.ID] {
			shown := func(s string) string { return text.Shorten(text.OneLine(text.Printable(s)), 64) }
			r.log.Warn("a consumer is too old to bring back the tokens of its batches: what it sends is refused, and batches that were refused before wait until it is gone; update it",
				zap.String("run", run.Name), zap.String("consumer", shown(c.ID)), zap.String("host", shown(c.Host)), zap.String("version", shown(c.Version)))
		}
	}
	r.tooOld = named
}
