package consume

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// waitForRun is how often a consumer looks for a run that is not there yet.
const waitForRun = 2 * time.Second

// find returns the run to work for: the one that was named, once it is there, or the only one
// that is not complete. It returns errNothing when there is nothing to do or to wait for.
func (c *Command) find(ctx context.Context, conn *stream.Conn, deadline time.Time, log *zap.Logger) (pipeline.RunInfo, error) {
	started, idleExit := time.Now(), c.idleExit(c.startsServers())
	for waiting := false; ; waiting = true {
		runs, err := conn.Runs(ctx)
		if err != nil {
			return pipeline.RunInfo{}, err
		}
		var names, openNames []string
		var open []pipeline.RunInfo
		for _, run := range runs {
			names = append(names, run.Run)
			switch {
			case run.Run == c.Name && run.Complete && !c.Stay:
				return pipeline.RunInfo{}, fmt.Errorf("%w: run %s is complete", errNothing, run.Run)
			case run.Run == c.Name:
				return run, nil
			case !run.Complete || c.Stay:
				open, openNames = append(open, run), append(openNames, run.Run)
			}
		}
		switch {
		case c.Name == "" && len(open) == 1:
			return open[0], nil
		case c.Name == "" && len(open) == 0 && len(runs) > 0:
			return pipeline.RunInfo{}, fmt.Errorf("%w: all runs are complete: %s", errNothing, strings.Join(names, ", "))
		case c.Name == "":
			return pipeline.RunInfo{}, whichRun(openNames)
		case !deadline.IsZero() && time.Now().After(deadline):
			return pipeline.RunInfo{}, fmt.Errorf("%w: the deadline is here and run %s is not published", errNothing, c.Name)
		case idleExit > 0 && time.Since(started) > idleExit:
			return pipeline.RunInfo{}, fmt.Errorf("%w: run %s was not published within %s", errNothing, c.Name, idleExit)
		}
		if !waiting {
			log.Info("waiting for the run to be published", zap.String("run", c.Name), zap.Strings("there_are", names))
		}
		select {
		case <-time.After(waitForRun):
		case <-ctx.Done():
			return pipeline.RunInfo{}, ctx.Err()
		}
	}
}

// whichRun says that a run has to be named.
func whichRun(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("no run is published: publish one with producer publish, or name the one to wait for with --run")
	}
	return fmt.Errorf("several runs are published: choose one with --run: %s", strings.Join(names, ", "))
}
