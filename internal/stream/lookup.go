package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go/jetstream"
)

// codeNoMessage says that there is none with this sequence or on this subject.
const codeNoMessage jetstream.ErrorCode = 10037

// InWork reports whether a batch is on the queue; also one that a worker holds is. The server's
// own count is asked for, in one round trip, and not a copy of the stream that may lag behind. A
// stream that is not there holds nothing.
func (c *Conn) InWork(ctx context.Context, run string, batch int) (bool, error) {
	return c.holds(ctx, WorkStream, run, batch, workSubject(run, batch))
}

// Queued returns the batches of a run that are on the queue, as InWork would, in one round trip.
// The server names 100,000 subjects at most in an answer: of more there may be some missing.
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

// A streamState is what the server counts.
type streamState struct {
	Last     uint64            `json:"last_seq"`
	Subjects map[string]uint64 `json:"subjects"` // messages on each of the subjects that were asked for
}

// streamState asks for the state of a stream, with the messages on some subjects unless there are
// none given. The state of a stream that is not there is empty.
func (c *Conn) streamState(ctx context.Context, stream, subjects string) (streamState, error) {
	var reply struct {
		State streamState `json:"state"`
	}
	err := c.request(ctx, "$JS.API.STREAM.INFO."+stream, map[string]any{"subjects_filter": subjects}, &reply)
	if isAbsent(err) {
		return streamState{}, nil
	}
	return reply.State, err
}

// request makes one request to JetStream's API and reads the answer, which may be nil. It is
// repeated if the answer does not come, so it has to be one that may be.
func (c *Conn) request(ctx context.Context, subject string, body, into any) error {
	data, err := pipeline.Encode(body)
	if err != nil {
		return err
	}
	return c.api(ctx, func(ctx context.Context) error {
		reply, err := c.nc.RequestWithContext(ctx, subject, data)
		if err != nil {
			return err
		}
		var refused struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(reply.Data, &refused); err != nil {
			return fmt.Errorf("read the answer of %s: %w", subject, err)
		}
		if refused.Error != nil {
			return refused.Error
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(reply.Data, into)
	})
}
