package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

// pollRuns is how often a consumer looks for a run that is not published yet.
const pollRuns = 2 * time.Second

// ErrNothingToDo is why a consumer ends before it has begun. It is no failure.
var ErrNothingToDo = errors.New("nothing to do")

// RunLister lists the runs that are published, complete ones included.
type RunLister interface {
	Runs(ctx context.Context) ([]pipeline.RunInfo, error)
}

// ChooseConfig says which run a consumer works for, and how long it waits for that.
type ChooseConfig struct {
	Run       string        // the run's name; empty: the only one that is not complete
	Stay      bool          // a complete run will do, too
	Simulated bool          // the servers are, and so is the run
	Deadline  time.Time     // after which a run that is not published is not waited for; zero: never
	IdleExit  time.Duration // the same as a time from now; zero: never
	Log       *zap.Logger
}

// ChooseRun returns the run to work for: the one that is named, once it is published, or the only
// one that is not complete. It returns ErrNothingToDo when there is nothing to do or to wait for,
// and an error that lists the runs when one of several has to be named.
func ChooseRun(ctx context.Context, lister RunLister, cfg ChooseConfig) (pipeline.RunInfo, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	started := time.Now()
	for waiting := false; ; waiting = true {
		runs, err := lister.Runs(ctx)
		if err != nil {
			return pipeline.RunInfo{}, err
		}
		if cfg.Run == "" {
			return cfg.onlyRun(runs)
		}
		for _, run := range runs {
			switch {
			case run.Run != cfg.Run:
			case run.Simulated != cfg.Simulated:
				return pipeline.RunInfo{}, cfg.mismatch(run)
			case run.Complete && !cfg.Stay:
				return pipeline.RunInfo{}, fmt.Errorf("%w: run %s is complete", ErrNothingToDo, run.Run)
			default:
				return run, nil
			}
		}
		switch {
		case !cfg.Deadline.IsZero() && time.Now().After(cfg.Deadline):
			return pipeline.RunInfo{}, fmt.Errorf("%w: the deadline is here and run %s is not published", ErrNothingToDo, cfg.Run)
		case cfg.IdleExit > 0 && time.Since(started) > cfg.IdleExit:
			return pipeline.RunInfo{}, fmt.Errorf("%w: run %s was not published within %s", ErrNothingToDo, cfg.Run, cfg.IdleExit)
		}
		if !waiting {
			cfg.Log.Info("waiting for the run to be published", zap.String("run", cfg.Run), zap.Strings("there_are", runNames(runs)))
		}
		if err := outage.Sleep(ctx, pollRuns); err != nil {
			return pipeline.RunInfo{}, err
		}
	}
}

// mismatch says why servers and run do not belong together.
func (c ChooseConfig) mismatch(run pipeline.RunInfo) error {
	if c.Simulated {
		return fmt.Errorf("run %s wants a real model, and the servers are simulated: name servers that have model %s with --ollama, or load a run for simulated servers with `producer load --simulate`",
			run.Run, run.Model)
	}
	return fmt.Errorf("run %s is for simulated servers, and these have real models: start a simulated one with `gleaner simulate` and name it with --ollama, or load the dataset again without --simulate", run.Run)
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
	return pipeline.RunInfo{}, errors.New("no run is published: publish one with producer publish, or name the one to wait for with --run")
}

func runNames(runs []pipeline.RunInfo) []string {
	var names []string
	for _, run := range runs {
		names = append(names, run.Run)
	}
	return names
}
