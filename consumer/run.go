package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/stream"
)

// waitForRun is how often a consumer looks for a run that is not there yet.
const waitForRun = 2 * time.Second

// find returns the run to work for: the one that was named, once it is there, or the only one.
func (c *command) find(ctx context.Context, conn *stream.Conn, log *zap.Logger) (stream.RunInfo, error) {
	for waiting := false; ; waiting = true {
		runs, err := conn.Runs(ctx)
		if err != nil {
			return stream.RunInfo{}, err
		}
		var names []string
		for _, run := range runs {
			if run.Run == c.Name || c.Name == "" && len(runs) == 1 {
				return run, nil
			}
			names = append(names, run.Run)
		}
		if c.Name == "" {
			return stream.RunInfo{}, whichRun(names)
		}
		if !waiting {
			log.Info("waiting for the run to be published", zap.String("run", c.Name), zap.Strings("there_are", names))
		}
		select {
		case <-time.After(waitForRun):
		case <-ctx.Done():
			return stream.RunInfo{}, ctx.Err()
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
