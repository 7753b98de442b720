package producer

import (
	"context"
	"maps"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// recentForRate is the period from which a rate is computed.
const recentForRate = 5 * time.Minute

// A Look is what one look at a run that is followed has shown.
type Look struct {
	Run      pipeline.Run
	Progress pipeline.Progress
	Away     error // why this look failed; the rest is what an earlier one has shown
}

// Follow publishes a run and then waits until every generation is stored, dead or dropped. It
// returns the last progress. Watch, which may be nil, gets what each look at the run has shown.
// Follow does not repair what the streams lose: FollowToEnd does. It tells the consumers which
// digests of the model are pinned, and that the run is paused or goes on, as soon as that changes.
//
// While the store or the stream is away it waits and says so, since a run lasts longer than most
// outages. If one refuses for good it ends, unless that has worked before: see outage.Trust.
func (p *Publisher) Follow(ctx context.Context, followed pipeline.Run, watch func(Look)) (pipeline.Progress, error) {
	published := make(chan error, 1)
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	go func() { published <- p.Persist(publishing, followed) }()
	defer func() { stop(); <-published }()

	looking := outage.Loop{
		Log: p.log, Away: "cannot look at the run; trying again until it works", Back: "the run can be looked at again",
		Fields: []zap.Field{zap.String("run", followed.Name)},
	}
	// How long a look takes. The store needs a while to count a large run, and the sink needs the
	// store more, so the looks are further apart then. A single look that an outage delayed says
	// little, so this at most doubles with each look.
	var usual time.Duration
	var told pipeline.Run // as the consumers know it
	var last Look
	for {
		started := time.Now()
		run, progress, err := p.look(ctx, followed)
		if err == nil && (!maps.Equal(run.Pins, told.Pins) || run.Paused() != told.Paused() || !run.PausedAs().Equal(told.PausedAs())) {
			if err = p.queue.EnsureRun(ctx, run); err == nil {
				told = run
			}
		}
		took := time.Since(started)
		switch {
		case ctx.Err() != nil:
			return progress, ctx.Err()
		case p.looks.Ends(err):
			return progress, err
		}
		looking.Observe(err)
		if err == nil {
			last = Look{Run: run, Progress: progress}
		}
		if watch != nil && last.Run.Name != "" {
			watch(Look{last.Run, last.Progress, err})
		}
		if err == nil {
			p.cfg.Metrics.saw(followed.Name, progress)
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
		if err := outage.Sleep(ctx, max(p.lookEvery(), 10*usual)); err != nil {
			return progress, err
		}
	}
}

// mostLooks is the longest time between two looks that many runs alone make necessary, in polls.
const mostLooks = 15

// lookEvery is the time between two looks at a run: runs that are attended together are looked at
// in turn.
func (p *Publisher) lookEvery() time.Duration {
	return time.Duration(min(p.runs(), mostLooks)) * p.cfg.Poll
}

// runs returns how many runs this publisher attends, at least one.
func (p *Publisher) runs() int { return max(1, int(p.share.Load())) }

// look returns a run and how far it is. Only what has happened since this publisher began counts as
// recent: a run that is resumed may have stood still before, and its rate would seem low for
// minutes. If the run was cancelled or deleted meanwhile, look returns an error, since it will
// never be complete.
func (p *Publisher) look(ctx context.Context, followed pipeline.Run) (pipeline.Run, pipeline.Progress, error) {
	run, err := p.again(ctx, followed)
	if err != nil {
		return run, pipeline.Progress{}, err
	}
	if run.State != pipeline.RunOpen {
		return run, pipeline.Progress{}, notOpen(run)
	}
	since := time.Now().Add(-recentForRate)
	if since.After(p.began) {
		progress, err := p.store.Progress(ctx, run.Name, since)
		return run, progress, err
	}
	progress, err := p.store.Progress(ctx, run.Name, p.began)
	progress.Since = p.began
	return run, progress, err
}

// Persist publishes as Publish does, and waits while the store or the stream is away or refuses
// writes. It returns when everything is published, with ctx's error, or when a person has to act.
func (p *Publisher) Persist(ctx context.Context, run pipeline.Run) error {
	wait := outage.NewBackoff(p.cfg.Poll, 30*p.cfg.Poll)
	loop := outage.Loop{
		Log: p.log, Away: "cannot publish; nothing is lost, trying again until it works", Back: "publishing goes on",
		Fields: []zap.Field{zap.String("run", run.Name)}, Wait: wait, Stops: p.sends.Ends,
	}
	return loop.Do(ctx, func(ctx context.Context) error {
		return p.publish(ctx, run, func() {
			p.sends.Ends(nil)
			wait.Reset()
			loop.Observe(nil)
		})
	})
}
