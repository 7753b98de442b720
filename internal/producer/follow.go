package producer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// Follow publishes a run and then waits until every generation has its end. It returns the last progress, which
// watch, if not nil, gets each time the run is looked at.
//
// While the store or the stream is away it waits and says so: a run lasts longer than most outages.
func (p *Publisher) Follow(ctx context.Context, name string, watch func(pipeline.Progress)) (pipeline.Progress, error) {
	published := make(chan error, 1)
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	go func() { published <- p.persist(publishing, name) }()
	defer func() { stop(); <-published }()

	for failures := 0; ; {
		started := time.Now()
		progress, err := p.look(ctx, name)
		took := time.Since(started)
		switch {
		case ctx.Err() != nil:
			return progress, ctx.Err()
		case err != nil && !isOutage(err):
			return progress, err
		case err != nil:
			if failures++; failures == 1 {
				p.log.Warn("looking at the run; trying again until it works", zap.Error(err))
			}
		default:
			failures = 0
			if watch != nil {
				watch(progress)
			}
			p.cfg.Metrics.saw(progress)
			if progress.Complete() {
				return progress, nil
			}
		}
		select {
		case err := <-published:
			published <- err // for the deferred wait
			if err != nil {
				return progress, err
			}
		default:
		}
		// A large run takes the store a while to count; it is there for the sink.
		if err := sleep(ctx, max(p.cfg.Poll, 10*took)); err != nil {
			return progress, err
		}
	}
}

// look returns how far a run is. What is recent has happened since this publisher began: a run that is resumed may
// have stood still before, and its rate would seem low for minutes. A run that somebody has cancelled or deleted
// meanwhile has no end to wait for.
func (p *Publisher) look(ctx context.Context, name string) (pipeline.Progress, error) {
	run, err := p.ledger.Run(ctx, name)
	if err != nil {
		return pipeline.Progress{}, err
	}
	if run.State != pipeline.RunOpen {
		return pipeline.Progress{}, notOpen(run)
	}
	since := time.Now().Add(-recentForRate)
	if since.After(p.began) {
		return p.ledger.Progress(ctx, name, since)
	}
	progress, err := p.ledger.Progress(ctx, name, p.began)
	progress.Since = p.began
	return progress, err
}

// persist publishes until it is done, ctx ends, or a person has to act.
func (p *Publisher) persist(ctx context.Context, name string) error {
	for {
		err := p.Publish(ctx, name)
		if err == nil || ctx.Err() != nil || !isOutage(err) {
			return err
		}
		p.log.Warn("publishing; trying again", zap.Error(err))
		if err := sleep(ctx, 5*p.cfg.Poll); err != nil {
			return err
		}
	}
}
