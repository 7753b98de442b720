package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
)

// InWork reports whether a batch is on the queue; one that a worker holds is, too. It asks for the
// server's own count, in one round trip, and not for a copy of the stream, which may lag behind. A
// stream that does not exist holds nothing.
func (c *Conn) InWork(ctx context.Context, run string, batch int) (bool, error) {
	return c.holds(ctx, WorkStream, run, batch, workSubject(run, batch))
}

// Queued returns the batches of a run that are on the queue, as InWork would, in one round trip.
// The server names at most 100,000 subjects in an answer: if there are more, some are missing.
func (c *Conn) Queued(ctx context.Context, run string) (map[int]bool, error) {
	err := pipeline.ValidateRunName(run)
	var state streamState
	if err == nil {
		state, err = c.streamState(ctx, WorkStream, workSubjects(run))
	}
	if err != nil {
		return nil, fmt.Errorf("list the batches of run %s on stream %s: %w", run, WorkStream, err)
	}
	queued := make(map[int]bool, len(state.Subjects))
	for subject, messages := range state.Subjects {
		index, err := strconv.Atoi(subject[strings.LastIndex(subject, ".")+1:])
		if err == nil && messages > 0 && subject == workSubject(run, index) {
			queued[index] = true
		}
	}
	return queued, nil
}

// InResults reports, in the same way, whether answers for a batch are on their way to the store.
func (c *Conn) InResults(ctx context.Context, run string, batch int) (bool, error) {
	return c.holds(ctx, ResultsStream, run, batch, resultsOfBatch(run, batch))
}

func (c *Conn) holds(ctx context.Context, stream, run string, batch int, subjects string) (bool, error) {
	err := pipeline.ValidateRunName(run)
	var state streamState
	if err == nil {
		state, err = c.streamState(ctx, stream, subjects)
	}
	if err != nil {
		return false, fmt.Errorf("look for batch %s on stream %s: %w", pipeline.BatchID(run, batch), stream, err)
	}
	for _, messages := range state.Subjects {
		if messages > 0 {
			return true, nil
		}
	}
	return false, nil
}
