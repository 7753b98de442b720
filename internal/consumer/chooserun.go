package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

const (
	// lookForRun is how often a consumer looks for a run that is not published yet. It is told when
	// that happens, so this is for a message that got lost.
	lookForRun = time.Minute
	// sayForRun is how often it says that it waits, and for what: a name may be mistyped.
	sayForRun = 10 * time.Minute
)

// ErrNothingToDo is why a consumer ends before it has begun. It is no failure.
var ErrNothingToDo = errors.New("nothing to do")

// RunLister says which runs are published, complete ones included.
type RunLister interface {
	Runs(ctx context.Context) ([]pipeline.RunInfo, error)
	// RunInfo returns what the queue says of a run, or pipeline.ErrNoRun.
	RunInfo(ctx context.Context, run string) (pipeline.RunInfo, error)
	// HearNews calls listen with news of a run, and when some may have been missed, until stop is
	// called.
	HearNews(run string, listen func(pipeline.RunNews)) (stop func(), err error)
}

// ChooseConfig says which run a consumer works for, and how long it waits for that.
type ChooseConfig struct {
	Run       string        // the run's name; empty: the only one that is not complete
	Stay      bool          // a complete run will do, too
	Next      bool          // the first open run of the same model does in place of one that is over, and is waited for
	Model     string        // with Next: which model that is, where the run is not there to say it; empty: not known
	Simulated bool          // the servers are, and so is the run
	Deadline  time.Time     // after which a run that is not published is not waited for; zero: never
	IdleExit  time.Duration // the same as a time from now; zero: never
	Log       *zap.Logger
}

// ChooseRun returns the run to work for: the one that is named, once it is published, or the only
// one that is not complete. It returns ErrNothingToDo when there is nothing to do or to wait for,
// and an error that lists the runs when one of several has to be named. While the server is away it
// waits.
func ChooseRun(ctx context.Context, lister RunLister, cfg ChooseConfig) (pipeline.RunInfo, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	w := &runWait{cfg: cfg, lister: lister, looking: outage.Loop{
		Log: cfg.Log, Away: "cannot see which runs are published; trying again until it works", Back: "the runs can be seen again",
	}}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if until := cfg.until(time.Now()); !until.IsZero() {
		limited, cancel = context.WithDeadline(ctx, until)
	}
	defer cancel()
	run, err := w.choose(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = w.cfg.over()
	}
	return run, err
}

// until returns when a run that is not published is not waited for any more, or zero.
func (c ChooseConfig) until(now time.Time) time.Time {
	until := c.Deadline
	if c.IdleExit > 0 && (until.IsZero() || now.Add(c.IdleExit).Before(until)) {
		until = now.Add(c.IdleExit)
	}
	return until
}

// over says why the wait for a run is over.
func (c ChooseConfig) over() error {
	run := "a run"
	if c.Run != "" {
		run = "run " + c.Run
	}
	if c.Next && c.Model != "" {
		run = "another run of this model"
	}
	if !c.Deadline.IsZero() && !time.Now().Before(c.Deadline) {
		return fmt.Errorf("%w: the deadline is here and %s is not published", ErrNothingToDo, run)
	}
	return fmt.Errorf("%w: %s was not published within %s", ErrNothingToDo, run, c.IdleExit)
}

// A runWait is one call of ChooseRun.
type runWait struct {
	cfg     ChooseConfig
	lister  RunLister
	looking outage.Loop
	said    time.Time // when it last said what it waits for
}

func (w *runWait) choose(ctx context.Context) (pipeline.RunInfo, error) {
	if w.cfg.Run == "" {
		runs, err := w.runs(ctx)
		if err != nil {
			return pipeline.RunInfo{}, err
		}
		return w.cfg.onlyRun(runs)
	}
	news := make(chan struct{}, 1)
	stop, err := w.lister.HearNews(w.cfg.Run, func(pipeline.RunNews) {
		select {
		case news <- struct{}{}:
		default: // it looks anyway
		}
	})
	if err != nil {
		return pipeline.RunInfo{}, err
	}
	defer stop()
	for {
		run, there, err := w.look(ctx)
		if there || err != nil {
			return run, err
		}
		timer := time.NewTimer(lookForRun)
		select {
		case <-timer.C:
		case <-news:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// look returns the named run if it is published, and says what it waits for if not.
func (w *runWait) look(ctx context.Context) (run pipeline.RunInfo, there bool, err error) {
	err = w.looking.Do(ctx, func(ctx context.Context) (err error) {
		run, err = w.lister.RunInfo(ctx, w.cfg.Run)
		if there = err == nil; errors.Is(err, pipeline.ErrNoRun) {
			err = nil
		}
		return err
	})
	switch {
	case err != nil:
		return pipeline.RunInfo{}, false, err
	case there && run.Simulated != w.cfg.Simulated:
		return pipeline.RunInfo{}, false, w.cfg.mismatch(run)
	case run.Complete && w.cfg.Next:
		w.cfg.Model = run.Model
		return w.next(ctx)
	case !there && w.cfg.Next && w.cfg.Model != "":
		return w.next(ctx)
	case there && run.Complete && !w.cfg.Stay:
		return pipeline.RunInfo{}, false, fmt.Errorf("%w: run %s is complete", ErrNothingToDo, run.Run)
	case there:
		return run, true, nil
	case time.Since(w.said) < sayForRun:
		return pipeline.RunInfo{}, false, nil
	}
	runs, err := w.runs(ctx)
	if err != nil {
		return pipeline.RunInfo{}, false, err
	}
	w.said = time.Now()
	fields := []zap.Field{zap.String("run", w.cfg.Run), zap.Strings("there_are", runNames(runs))}
	if nearest := text.Nearest(w.cfg.Run, runNames(runs)); nearest != "" {
		fields = append(fields, zap.String("did_you_mean", nearest))
	}
	w.cfg.Log.Info("waiting for the run to be published", fields...)
	return pipeline.RunInfo{}, false, nil
}

// next returns the first open run of the model, if there is one, and says that it waits if not. One
// that is paused is taken only where no other is there.
func (w *runWait) next(ctx context.Context) (run pipeline.RunInfo, there bool, err error) {
	runs, err := w.runs(ctx)
	if err != nil {
		return run, false, err
	}
	for _, one := range runs {
		fits := one.Model == w.cfg.Model && one.Simulated == w.cfg.Simulated && !one.Complete
		if fits && (!there || run.Paused && !one.Paused) {
			run, there = one, true
		}
	}
	switch {
	case there:
		w.cfg.Log.Info("going on to the next run of this model", zap.String("run", run.Run), zap.String("model", w.cfg.Model), zap.String("after", w.cfg.Run))
	case time.Since(w.said) >= sayForRun:
		w.said = time.Now()
		w.cfg.Log.Info("waiting for another run of this model", zap.String("model", w.cfg.Model), zap.String("after", w.cfg.Run))
	}
	return run, there, nil
}

func (w *runWait) runs(ctx context.Context) (runs []pipeline.RunInfo, err error) {
	err = w.looking.Do(ctx, func(ctx context.Context) (err error) {
		runs, err = w.lister.Runs(ctx)
		return err
	})
	return runs, err
}

// mismatch says why servers and run do not belong together.
func (c ChooseConfig) mismatch(run pipeline.RunInfo) error {
	if c.Simulated {
		return fmt.Errorf("run %s wants a real model, and the servers are simulated: name servers that have model %s with --ollama, or load a run for simulated servers with `%s`",
			run.Run, run.Model, advice.Anywhere("load", "--simulate"))
	}
	return fmt.Errorf("run %s is for simulated servers, and these have real models: start a simulated one with `%s` and name it with --ollama, or load the dataset again without --simulate",
		run.Run, advice.Anywhere("simulate"))
}

// onlyRun returns the only run that may be worked for without its name.
func (c ChooseConfig) onlyRun(all []pipeline.RunInfo) (pipeline.RunInfo, error) {
	var open, runs []pipeline.RunInfo
	for _, run := range all {
		if run.Simulated != c.Simulated {
			continue
		}
		runs = append(runs, run)
		if c.Stay || !run.Complete {
			open = append(open, run)
		}
	}
	switch {
	case len(runs) == 0 && len(all) == 1:
		return pipeline.RunInfo{}, c.mismatch(all[0])
	case len(runs) == 0 && len(all) > 0:
		kind := "for simulated servers, and these have real models"
		if c.Simulated {
			kind = "for real models, and these servers are simulated"
		}
		return pipeline.RunInfo{}, fmt.Errorf("all runs that are published are %s: %s", kind, strings.Join(runNames(all), ", "))
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		return pipeline.RunInfo{}, fmt.Errorf("several runs are published: choose one with --run: %s", strings.Join(runNames(open), ", "))
	case len(runs) > 0:
		return pipeline.RunInfo{}, fmt.Errorf("%w: all runs are complete: %s", ErrNothingToDo, strings.Join(runNames(runs), ", "))
	}
	return pipeline.RunInfo{}, fmt.Errorf("no run is published: publish one with `%s`, or name the one to wait for with --run", advice.Command("publish", "--run", "NAME"))
}

func runNames(runs []pipeline.RunInfo) []string {
	var names []string
	for _, run := range runs {
		names = append(names, run.Run)
	}
	return names
}
