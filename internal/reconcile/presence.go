package reconcile

import (
	"context"
	"time"

	"gleaner/internal/pipeline"
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

// An attendance is who is present for one run, and what was said to them.
type attendance struct {
	*Engine
	fleet  fleet // as it was met last
	began  time.Time
	meetAt time.Time               // when to ask again
	proven map[pipeline.LaneID]int // the most that each GPU has shown, see pipeline.GPUStatus
	told   told
}

func newAttendance(e *Engine) *attendance {
	return &attendance{Engine: e, began: e.now(), proven: map[pipeline.LaneID]int{}, told: told{awaiting: -1}}
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
	for id, l := range r.fleet.lanes {
		r.proven[id] = max(r.proven[id], l.Proven)
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
