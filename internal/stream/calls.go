package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// call makes one call within a time, and within the patience of ctx. It ends early, with the cause,
// when the server refuses a subject with this prefix or the connection is lost.
func (c *client) call(ctx context.Context, prefix string, within time.Duration, f func(context.Context) error) error {
	watched, done := c.pending.watch(ctx, prefix)
	defer done()
	began := time.Now()
	timed, cancel := context.WithTimeout(watched, outage.Allowed(ctx, within))
	defer cancel()
	err := f(timed)
	if c.silent.Store(isUnanswered(err)); c.silent.Load() {
		outage.Waited(ctx, time.Since(began))
	}
	if isAbsent(err) || isNoResponders(err) {
		c.absences.Add(1)
	}
	switch {
	case err == nil:
		return nil
	case isNotSent(err):
		return err
	case watchCause(watched) != nil:
		return watchCause(watched)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrConnectionClosed):
		return errClosed()
	case isWithoutJetStream(err):
		return pipeline.Fail(c.withoutJetStream(), "%w: %s", err, c.jetStreamAdvice())
	}
	return err
}

// jetStreamAdvice says what a person can do about a server without JetStream.
func (c *client) jetStreamAdvice() string {
	if c.answered.Load() {
		return "the NATS server has turned its JetStream off, as it does when its disk is full: " + restartAdvice
	}
	return "start the NATS server with JetStream (-js), or use an account that has it"
}

// withoutJetStream returns the class of its absence: where it has answered before, it was taken
// away and can come back.
func (c *client) withoutJetStream() pipeline.Class {
	if c.answered.Load() {
		return pipeline.Retryable
	}
	return pipeline.Fatal
}

// apiTries is how often a call is sent that gets no answer.
const apiTries = 4

// api makes a call to JetStream's API and repeats it, for a while, if the answer does not come. No
// answer in the end is a Retryable failure. While there is no connection, which is reported where
// it is lost, the call waits, unless ctx has a patience: a server may start again at any time.
func (c *client) api(ctx context.Context, f func(context.Context) error) error {
	backoff := outage.NewBackoff(100*time.Millisecond, time.Second)
	for tries := 1; ; tries++ {
		err := c.call(ctx, "$JS.API.", 5*time.Second, f)
		switch {
		case err == nil:
			c.answered.Store(true)
			return nil
		case !isUnanswered(err) && !isNoResponders(err):
			return err
		case isNotSent(err) && outage.IsPatient(ctx):
			if err := c.connected(ctx); err != nil {
				return err
			}
			tries = 0
		case tries >= apiTries && !isNotSent(err), outage.IsOver(ctx):
			return pipeline.Fail(pipeline.Retryable, "%w: %s", err, c.unansweredAdvice())
		}
		pause := backoff.Next()
		outage.Waited(ctx, pause)
		if err := outage.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// unansweredAdvice says what a person can do about a server that does not answer.
func (c *client) unansweredAdvice() string {
	if !c.nc.IsConnected() {
		return "there is no connection to the NATS server at present; is it running?"
	}
	return "the NATS server is there, but its JetStream does not answer: is it starting? If its disk is full, " + restartAdvice
}

// request makes one request to JetStream's API and decodes the answer into a value, unless that
// is nil. It is repeated if the answer does not come, so a second one must do no harm.
func (c *client) request(ctx context.Context, subject string, body, into any) error {
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

// A streamState is what the server counts.
type streamState struct {
	Last     uint64            `json:"last_seq"`
	Subjects map[string]uint64 `json:"subjects"` // messages on each subject that was asked for
}

// streamState asks for the state of a stream, with the messages on these subjects unless they are
// empty. The state of a stream that does not exist is empty.
func (c *client) streamState(ctx context.Context, stream, subjects string) (streamState, error) {
	var reply struct {
		State streamState `json:"state"`
	}
	err := c.request(ctx, "$JS.API.STREAM.INFO."+stream, map[string]any{"subjects_filter": subjects}, &reply)
	if isAbsent(err) {
		return streamState{}, nil
	}
	return reply.State, err
}
