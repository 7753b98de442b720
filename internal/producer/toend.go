package producer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// auditEvery is how long a run that seems complete, and is not, is left alone before it is
// followed again.
const auditEvery = 5 * time.Second

// Reconciler puts back on the queue what the streams lose of a run.
type Reconciler interface {
	// Reconcile works until ctx ends, or until the run is gone or not open.
	Reconcile(ctx context.Context, run string) error
	// Lost removes the dead letters that have no use any more, and returns how many generations
	// of the run are not accounted for.
	Lost(ctx context.Context, run string) (int, error)
}

// FollowToEnd publishes a run and follows it until every generation is stored, dead or dropped,
// and meanwhile has the reconciler put back on the queue what the streams lose. A run whose dead
// letters are lost is not at its end: they are made again. When the run is complete for good it
// tells the consumers. It returns the last progress; watch, which may be nil, gets each one.
//
// While the store or the streams are away it waits. It returns an error when ctx ends, the run is
// gone or not open, or a person has to act.
func (p *Publisher) FollowToEnd(ctx context.Context, run string, reconciler Reconciler, watch func(pipeline.Progress)) (pipeline.Progress, error) {
	final, err := p.followUntilNothingIsLost(ctx, run, reconciler, watch)
	if err == nil {
		p.tellIfComplete(ctx, run, final)
	}
	return final, err
}

func (p *Publisher) followUntilNothingIsLost(ctx context.Context, run string, reconciler Reconciler, watch func(pipeline.Progress)) (pipeline.Progress, error) {
	reconciling, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { _ = reconciler.Reconcile(reconciling, run) }) // it fails with the run, and then Follow says why
	defer background.Wait()
	defer stop()
	auditing := outage.Loop{Log: p.log, Away: "looking whether anything is lost; trying again until it works"}
	for {
		final, err := p.Follow(ctx, run, watch)
		if err != nil {
			return final, err
		}
		lost, err := reconciler.Lost(ctx, run)
		switch {
		case err == nil && lost == 0:
			return final, nil
		case err != nil && (ctx.Err() != nil || pipeline.ClassOf(err) != pipeline.Retryable):
			return final, err
		case err != nil:
			auditing.Observe(err)
		}
		if err := outage.Sleep(ctx, auditEvery); err != nil {
			return final, err
		}
	}
}

// PublishAll publishes a run as Persist does, and tells the consumers if the run turns out to be
// complete for good.
func (p *Publisher) PublishAll(ctx context.Context, run string) error {
	if err := p.Persist(ctx, run); err != nil {
		return err
	}
	progress, err := p.store.Progress(ctx, run, time.Now())
	if err != nil {
		return err
	}
	p.tellIfComplete(ctx, run, progress)
	return nil
}

// tellIfComplete tells the consumers that their work is done, if it is for good: what is under a
// dead letter may have another round. If they cannot be told they wait, which costs time but loses
// nothing.
func (p *Publisher) tellIfComplete(ctx context.Context, name string, progress pipeline.Progress) {
	if !progress.Complete() || progress.Failed > 0 {
		return
	}
	run, err := p.store.Run(ctx, name)
	if err == nil {
		err = p.queue.CompleteRun(ctx, run)
	}
	if err != nil {
		p.log.Warn("telling the consumers that the run is complete; those without --for or --idle-exit wait on", zap.Error(err))
	}
}

// Unanswered returns an error that says how many generations of a run at its end have no answer,
// and what can be done about those that were not dropped; nil if every one has its answer.
func Unanswered(run string, p pipeline.Progress) error {
	if p.Failed+p.Dropped == 0 {
		return nil
	}
	err := fmt.Errorf("run %s: %d of %d generations have no answer", run, p.Failed+p.Dropped, p.Generations)
	if p.Failed > 0 {
		err = fmt.Errorf("%w: `producer dead list --run %s` says why, `producer dead redrive --run %s` gives them another round", err, run, run)
	}
	return err
}
