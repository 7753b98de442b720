package producer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	// auditEvery is the time between two looks at a run that seems complete and is not.
	auditEvery = 5 * time.Second
	// settleEvery is the same while all that works.
	settleEvery = 2 * time.Second
)

// A Reconciler repairs what the streams lose of a run, and lets another GPU judge what one could
// not generate.
type Reconciler interface {
	// Reconcile works until ctx ends, or until the run is gone or not open.
	Reconcile(ctx context.Context, run string) error
	// Unsettled returns how many generations of a run that seems complete have not come to their
	// end: those that get a second opinion, and those that are not accounted for. If there are
	// none, it deletes the dead letters of the run that are of no use any more. It is asked every
	// few seconds, and decides by itself how often it reads all that the run has.
	Unsettled(ctx context.Context, run string) (int, error)
}

// FollowToEnd publishes a run and follows it until every generation is stored, dropped or under a
// dead letter on which no other GPU can do better. Meanwhile the reconciler repairs what the
// streams lose. If dead letters are lost the run is not at its end, since its failed generations
// are then tried again. FollowToEnd tells the consumers if the run is complete for good. It returns
// the last progress; watch, which may be nil, gets each look. A run that its failures have paused
// goes on, one that a person has paused waits.
//
// While the store or the streams are away it waits. It returns an error if ctx ends, the run is
// gone or not open, or a person has to act, and a *TooManyFailures if it has paused the run because
// too much of it fails, see Config.MaxFailures.
func (p *Publisher) FollowToEnd(ctx context.Context, run pipeline.Run, reconciler Reconciler, watch func(Look)) (pipeline.Progress, error) {
	if err := p.goOn(ctx, run); err != nil {
		return pipeline.Progress{}, err
	}
	final, err := p.limited(ctx, run, watch, func(ctx context.Context, watch func(Look)) (pipeline.Progress, error) {
		return p.followUntilSettled(ctx, run, reconciler, watch)
	})
	if err == nil {
		p.tellIfComplete(ctx, run, final)
	}
	return final, err
}

// goOn ends the pause of a run whose failures have paused it: the person who starts it again knows
// why it stopped.
func (p *Publisher) goOn(ctx context.Context, known pipeline.Run) error {
	loop := outage.Loop{Log: p.log, Away: "cannot read whether the run is paused; trying again until it works", Back: "the store can be read again", Stops: p.looks.Ends}
	return loop.Do(ctx, func(ctx context.Context) error {
		run, err := p.again(ctx, known)
		if err != nil || !run.Paused() || run.Pause.Cause != pipeline.PausedByFailures {
			return err
		}
		return p.store.Resume(ctx, run.Name, run.UID, time.Now())
	})
}

func (p *Publisher) followUntilSettled(ctx context.Context, run pipeline.Run, reconciler Reconciler, watch func(Look)) (pipeline.Progress, error) {
	reconciling, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { _ = reconciler.Reconcile(reconciling, run.Name) }) // it fails with the run, and then Follow says why
	defer background.Wait()
	defer stop()
	auditing := outage.Loop{Log: p.log, Away: "looking whether anything is lost; trying again until it works"}
	for {
		final, err := p.Follow(ctx, run, watch)
		if err != nil {
			return final, err
		}
		left, err := reconciler.Unsettled(ctx, run.Name)
		again := settleEvery
		switch {
		case err == nil && left == 0:
			return final, nil
		case err != nil && (ctx.Err() != nil || pipeline.ClassOf(err) != pipeline.Retryable && p.looks.Ends(err)):
			return final, err
		case err != nil:
			auditing.Observe(err)
			again = auditEvery
		}
		if err := outage.Sleep(ctx, again); err != nil {
			return final, err
		}
	}
}

// PublishAll publishes a run as Persist does, and tells the consumers if the run is complete for
// good.
func (p *Publisher) PublishAll(ctx context.Context, run pipeline.Run) error {
	if err := p.Persist(ctx, run); err != nil {
		return err
	}
	var progress pipeline.Progress
	loop := outage.Loop{Log: p.log, Away: "cannot read how far the run is; trying again until it works", Back: "the store can be read again", Stops: p.looks.Ends}
	err := loop.Do(ctx, func(ctx context.Context) (err error) {
		progress, err = p.store.Progress(ctx, run.Name, time.Now())
		return err
	})
	if err == nil {
		p.tellIfComplete(ctx, run, progress)
	}
	return err
}

// tellWithin is how long an ending publisher tries to tell the consumers while a server is away.
const tellWithin = 5 * time.Minute

// tellIfComplete tells the consumers that the run is complete, unless it has dead letters, which
// may get another round. If that fails for long the consumers keep waiting, which costs time and
// loses nothing.
func (p *Publisher) tellIfComplete(ctx context.Context, known pipeline.Run, progress pipeline.Progress) {
	if !progress.Complete() || progress.Failed > 0 {
		return
	}
	telling, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	loop := outage.Loop{Log: p.log, Away: "cannot tell the consumers that the run is complete; trying again until it works", Back: "the consumers are told", Stops: p.looks.Ends}
	err := loop.Do(telling, func(ctx context.Context) error {
		run, err := p.again(ctx, known)
		if err == nil {
			err = p.queue.CompleteRun(ctx, run)
		}
		return err
	})
	if err == nil {
		err = p.queue.TellConsumers(ctx, known, pipeline.NewsComplete)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("telling the consumers that the run is complete; those without --for or --idle-exit wait on", zap.Error(err))
	}
}

// Unanswered returns an error that says how many generations of a complete run have no answer, why,
// if that is known, and what can be done about those that were not dropped. It returns nil if all
// have one.
func Unanswered(run string, p pipeline.Progress, why string) error {
	if p.Failed+p.Dropped == 0 {
		return nil
	}
	err := fmt.Errorf("run %s: %d of %d generations have no answer", run, p.Failed+p.Dropped, p.Generations)
	if p.Failed > 0 && why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	if p.Failed > 0 {
		err = fmt.Errorf("%w: `%s` says why, `%s` gives them another round",
			err, advice.Command("dead list", "--run", run), advice.Command("dead redrive", "--run", run))
	}
	return err
}
