package producer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// Follow publishes a run and then waits until every generation has its end. It returns the last
// progress, which watch, if not nil, gets each time the run is looked at.
//
// While the store or the stream is away it waits and says so: a run lasts longer than most
// outages.
func (p *Publisher) Follow(ctx context.Context, name string, watch func(pipeline.Progress)) (pipeline.Progress, error) {
	published := make(chan error, 1)
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	go func() { published <- p.Persist(publishing, name) }()
	defer func() { stop(); <-published }()

	var away outage.Reporter
	// How long a look takes: a large run takes the store a while to count, and it is there for
	// the sink, so it is looked at less often. One look that an outage held up says little, so
	// this at most doubles with each.
	var usual time.Duration
	for {
		started := time.Now()
		progress, err := p.look(ctx, name)
		took := time.Since(started)
		switch {
		case ctx.Err() != nil:
			return progress, ctx.Err()
		case err != nil && !pipeline.IsOutage(err):
			return progress, err
		case err != nil:
			if away.Begins(err) {
				p.log.Warn("cannot look at the run; trying again until it works", zap.String("run", name), zap.Error(err))
			}
		default:
			if away.Ends() {
				p.log.Info("the run can be looked at again", zap.String("run", name))
			}
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
		usual = min(took, max(2*usual, p.cfg.Poll/10))
		if err := sleep(ctx, max(p.cfg.Poll, 10*usual)); err != nil {
			return progress, err
		}
	}
}

// look returns how far a run is. What is recent has happened since this publisher began: a run
// that is resumed may have stood still before, and its rate would seem low for minutes. A run
// that somebody has cancelled or deleted meanwhile has no end to wait for.
func (p *Publisher) look(ctx context.Context, name string) (pipeline.Progress, error) {
	run, err := p.store.Run(ctx, name)
	if err != nil {
		return pipeline.Progress{}, err
	}
	if run.State != pipeline.RunOpen {
		return pipeline.Progress{}, notOpen(run)
	}
	since := time.Now().Add(-recentForRate)
	if since.After(p.began) {
		return p.store.Progress(ctx, name, since)
	}
	progress, err := p.store.Progress(ctx, name, p.began)
	progress.Since = p.began
	return progress, err
}

// Persist publishes as Publish does, and goes on by itself after the store or the stream was away
// or refused to take anything. It returns when everything is published, with ctx's error, or when
// a person has to act.
func (p *Publisher) Persist(ctx context.Context, name string) error {
	var away outage.Reporter
	rest := 5 * p.cfg.Poll
	for {
		err := p.publish(ctx, name, func() {
			rest = 5 * p.cfg.Poll
			if away.Ends() {
				p.log.Info("publishing goes on", zap.String("run", name))
			}
		})
		if err == nil || ctx.Err() != nil || !pipeline.IsOutage(err) {
			return err
		}
		if away.Begins(err) {
			p.log.Warn("cannot publish; nothing is lost, trying again until it works", zap.String("run", name), zap.Error(err))
		}
		if err := sleep(ctx, rest); err != nil {
			return err
		}
		rest = min(2*rest, 30*p.cfg.Poll)
	}
}
