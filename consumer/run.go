package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/consumer"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// find returns the run to work for, see consumer.ChooseRun.
func (c *command) find(ctx context.Context, conn *stream.Conn, deadline time.Time, log *zap.Logger) (pipeline.RunInfo, error) {
	return consumer.ChooseRun(ctx, conn, consumer.ChooseConfig{Run: c.Name, Stay: c.Stay, Deadline: deadline, IdleExit: c.idleExit(), Log: log})
}
