package stream

import (
	"context"
	"encoding/json"
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
	return c.list(ctx, WorkStream, run, workSubjects(run), func(subject string) (int, bool) {
		index, err := strconv.Atoi(subject[strings.LastIndex(subject, ".")+1:])
		return index, err == nil && subject == workSubject(run, index)
	})
}

// Arriving returns the batches of a run with answers on their way to the store, in the same way.
func (c *Conn) Arriving(ctx context.Context, run string) (map[int]bool, error) {
	return c.list(ctx, ResultsStream, run, resultSubjects(run), func(subject string) (int, bool) {
		tokens := strings.Split(subject, ".")
		index, err := strconv.Atoi(tokens[max(0, len(tokens)-2)])
		return index, err == nil && ofBatch(subject, "result", run, index)
	})
}

// list returns the batches whose subjects have messages on a stream.
func (c *Conn) list(ctx context.Context, stream, run, subjects string, batchOf func(subject string) (int, bool)) (map[int]bool, error) {
	err := pipeline.ValidateRunName(run)
	var state streamState
	if err == nil {
		state, err = c.streamState(ctx, stream, subjects)
	}
	if err != nil {
		return nil, fmt.Errorf("list the batches of run %s on stream %s: %w", run, stream, err)
	}
	batches := make(map[int]bool, len(state.Subjects))
	for subject, messages := range state.Subjects {
		if index, ok := batchOf(subject); ok && messages > 0 {
			batches[index] = true
		}
	}
	return batches, nil
}

// InResults reports, in the same way, whether answers for a batch are on their way to the store. A
// message that the sinks have acknowledged is not: a server that was killed may have it again.
func (c *Conn) InResults(ctx context.Context, run string, batch int) (bool, error) {
	subjects := resultsOfBatch(run, batch)
	found, err := c.holds(ctx, ResultsStream, run, batch, subjects)
	if err != nil || !found {
		return false, err
	}
	var last uint64
	err = c.api(ctx, func(ctx context.Context) (err error) {
		last, err = c.lastOf(ctx, ResultsStream, subjects)
		return err
	})
	if err == nil && last > 0 { // the sequence first: what comes later has a higher one
		var settled uint64
		if settled, err = c.settled(ctx, ResultsStream, sinkDurable); err == nil {
			return last > settled, nil
		}
	}
	if err == nil || isAbsent(err) {
		return true, nil
	}
	return false, fmt.Errorf("see whether the answers for batch %s were acknowledged: %w", pipeline.BatchID(run, batch), err)
}

// lastOf returns the sequence of the last message of a subject, which may have wildcards; 0 if
// there is none.
func (c *Conn) lastOf(ctx context.Context, stream, subject string) (uint64, error) {
	request, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return 0, err
	}
	msg, err := c.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, request)
	if err != nil {
		return 0, err
	}
	sequence, err := strconv.ParseUint(last(msg.Header, "Nats-Sequence"), 10, 64)
	if err != nil {
		return 0, endOfPage(msg)
	}
	return sequence, nil
}

// settled returns the sequence up to which a durable has all messages acknowledged.
func (c *Conn) settled(ctx context.Context, stream, durable string) (uint64, error) {
	info, err := c.durableInfo(ctx, stream, durable)
	if err != nil {
		return 0, err
	}
	return info.AckFloor.Stream, nil
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
