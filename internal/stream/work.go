package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// absentTries is how often a server may say in a row that no stream takes a batch before that
// counts: some 4 s. A server that starts may take messages before it has read its streams.
const absentTries = 10

// Publish puts a batch on the queue, and returns nil once the server has confirmed it. While the
// server does not answer it tries again until ctx ends. If it answers that there is no stream,
// for a few seconds, that is a Retryable failure: EnsureRun creates it. It returns
// pipeline.ErrOutstanding if the batch is on the queue already, also if that was one of its own
// tries, and pipeline.ErrFull if the stream takes no more. A batch that is too large for the server
// is a pipeline.SizeError, see Fit, and one that is not valid a BadItem failure.
func (c *Conn) Publish(ctx context.Context, w pipeline.Work) error {
	if err := w.Validate(); err != nil {
		return pipeline.Fail(pipeline.BadItem, "publish batch %s: %w", w.ID(), err)
	}
	msg, err := c.codec.packWork(w, c.publisher.messageLimit())
	if err == nil {
		err = c.owner.allows(ctx)
	}
	if err != nil {
		return fmt.Errorf("publish batch %s: %w", w.ID(), err)
	}
	if err := c.publisher.publish(ctx, msg, absentTries); err != nil {
		if errors.Is(err, pipeline.ErrFull) {
			err = c.usage.explain(ctx, w.Run, err)
		}
		return fmt.Errorf("publish batch %s: %w", w.ID(), err)
	}
	return nil
}

// Fit returns what has room in one message of a batch that Publish has found to be too large: see
// pipeline.Fit.
func (c *Conn) Fit(w pipeline.Work) (pipeline.Work, error) {
	limit := int(c.nc.MaxPayload())
	return pipeline.Fit(w, limit, func(w pipeline.Work) (int, error) {
		msg, err := c.codec.packWork(w, c.publisher.messageLimit())
		if err != nil {
			return 0, err
		}
		return wireBytes(msg), nil
	})
}

// packWork returns a message of at most this many bytes, or of the least size that the batch can
// have. The verdicts that only ride along are cut as those of a dead letter are.
func (c *codec) packWork(w pipeline.Work, most int) (*nats.Msg, error) {
	var msg *nats.Msg
	for _, b := range brevities() {
		cut := w
		cut.Final = b.of(w.Final)
		data, err := pipeline.EncodeWork(cut)
		if err != nil {
			return nil, err
		}
		msg = c.pack(workSubject(w.Run, w.Batch), data)
		if len(w.Final) == 0 || len(data) <= maxDecoded && len(msg.Data) <= most {
			break
		}
	}
	return msg, nil
}

// FindWork returns the message of a batch on the queue, and whether there is one. It reads a copy
// of the stream, which may lag behind: the sequence says for certain which message it is. Of a
// message that cannot be read it returns the sequence, true and a BadItem failure.
func (c *Conn) FindWork(ctx context.Context, run string, batch int) (pipeline.StoredWork, bool, error) {
	var msg *nats.Msg
	err := pipeline.ValidateRunName(run)
	if err == nil {
		err = c.api(ctx, func(ctx context.Context) (err error) {
			msg, err = c.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+WorkStream+"."+workSubject(run, batch), nil)
			return err
		})
	}
	what := "read the message of batch " + pipeline.BatchID(run, batch)
	if err != nil {
		return pipeline.StoredWork{}, false, fmt.Errorf("%s: %w", what, err)
	}
	// A sender may have set headers of the same names; the server adds its own after them.
	sequence, err := strconv.ParseUint(last(msg.Header, "Nats-Sequence"), 10, 64)
	if err != nil {
		return pipeline.StoredWork{}, false, wrapped(what, endOfPage(msg))
	}
	var w pipeline.Work
	data, err := c.codec.unpack(msg.Header, msg.Data)
	if err == nil {
		w, err = pipeline.DecodeWork(data)
	}
	if err != nil {
		err = pipeline.Fail(pipeline.BadItem, "%s: %w", what, err)
	}
	return pipeline.StoredWork{Work: w, Sequence: sequence}, true, err
}

// RemoveWork takes the message of a batch with this sequence off the queue, also while a worker
// holds it, and no later message of the batch. One that is already gone is no error.
//
// It does not purge the subject: soon after a server was killed and started again, a purge makes
// the durable forget messages that others held, which then no one gets any more (NATS 2.15).
func (c *Conn) RemoveWork(ctx context.Context, run string, batch int, sequence uint64) error {
	err := pipeline.ValidateRunName(run)
	if err == nil {
		err = c.owner.allows(ctx)
	}
	if err == nil {
		err = c.request(ctx, "$JS.API.STREAM.MSG.DELETE."+WorkStream, map[string]any{"seq": sequence, "no_erase": true}, nil)
	}
	if err == nil || isAbsent(err) {
		return nil
	}
	// The server has one code for everything that it cannot delete.
	there, found, failed := c.FindWork(ctx, run, batch)
	if (failed == nil || found) && there.Sequence != sequence {
		return nil
	}
	return wrapped("take batch "+pipeline.BatchID(run, batch)+" off the queue", err)
}

// Work returns the batches of a run, which need not exist yet, for the workers of one GPU.
func (c *Conn) Work(run string) *Source {
	return &Source{durable: c.workDurable(run), expiry: c.pullExpiry, heartbeat: c.heartbeat}
}

// Gone returns a channel that gets a value when those who wait for work find that the run is not on
// the stream. The server says so at once.
func (c *Conn) Gone(run string) <-chan struct{} { return c.workDurable(run).gone }

func (c *Conn) workDurable(run string) *durable {
	shared, _ := c.works.LoadOrStore(run, newDurable(c.client, WorkStream, run, nil))
	return shared.(*durable)
}
