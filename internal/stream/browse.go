package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	browseBatch = 64      // dead letters in one answer
	browseSize  = 2 << 20 // bytes as they travelled, after which an answer ends
)

// DeadLetters yields the dead letters of a run, or of all runs if it is empty, that are there
// when it begins, oldest first. What is removed meanwhile may be missing, and what is replaced
// comes with its new record or not at all. It holds a few MiB of them in memory.
//
// Of a record that cannot be read it yields the sequence, run and batch as the subject says them,
// when it was stored as the time of the failure, and a BadItem failure, and goes on. Any other
// error is the last thing it yields.
func (c *Conn) DeadLetters(ctx context.Context, run string) iter.Seq2[pipeline.StoredDeadLetter, error] {
	return func(yield func(pipeline.StoredDeadLetter, error) bool) {
		if err := c.browse(ctx, run, yield); err != nil {
			yield(pipeline.StoredDeadLetter{}, fmt.Errorf("read the dead letters: %w", err))
		}
	}
}

func (c *Conn) browse(ctx context.Context, run string, yield func(pipeline.StoredDeadLetter, error) bool) error {
	subjects := "gleaner.dead.>"
	if run != "" {
		if err := pipeline.ValidateRunName(run); err != nil {
			return err
		}
		subjects = deadSubjects(run)
	}
	state, err := c.streamState(ctx, DeadStream, "")
	if err != nil {
		return err
	}
	for next := uint64(1); next <= state.Last; {
		page, err := c.page(ctx, subjects, next)
		if err != nil || len(page) == 0 {
			return err
		}
		for i, m := range page {
			if m.Sequence > state.Last { // a later one; those redriven that fail again would never end
				return nil
			}
			page[i] = storedMessage{}
			next = m.Sequence + 1
			if !yield(c.codec.storedDeadLetter(m)) {
				return nil
			}
		}
	}
	return nil
}

// A storedMessage is a message as it is stored on a stream.
type storedMessage struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Header   []byte    `json:"hdrs"` // as it travels
	Data     []byte    `json:"data"`
	Stored   time.Time `json:"time"`

	header nats.Header
}

// storedDeadLetter reads a message of DEAD. Of one that cannot be read it returns what the subject
// says, the time at which it was stored as that of the failure, and a BadItem failure.
func (c *codec) storedDeadLetter(m storedMessage) (pipeline.StoredDeadLetter, error) {
	data, err := c.unpack(m.header, m.Data)
	var d pipeline.DeadLetter
	if err == nil {
		d, err = pipeline.DecodeDeadLetter(data)
	}
	if err == nil && !ofBatch(m.Subject, "dead", d.Run, d.Batch) {
		err = fmt.Errorf("it is of batch %s, which is not what its subject says", d.ID())
	}
	if err != nil {
		d = pipeline.DeadLetter{FailedAt: m.Stored}
		if tokens := strings.Split(m.Subject, "."); len(tokens) == 4 {
			if index, err := strconv.Atoi(tokens[3]); err == nil {
				d.Run, d.Batch = tokens[2], index
			}
		}
		err = pipeline.Fail(pipeline.BadItem, "the dead letter with sequence %d on %.128q cannot be read: %w", m.Sequence, m.Subject, err)
	}
	return pipeline.StoredDeadLetter{DeadLetter: d, Sequence: m.Sequence}, err
}

// page reads some messages on these subjects, from a sequence on, in one round trip.
func (c *Conn) page(ctx context.Context, subjects string, from uint64) (page []storedMessage, err error) {
	request, err := pipeline.Encode(map[string]any{"seq": from, "next_by_subj": subjects, "batch": browseBatch, "max_bytes": browseSize})
	if err != nil {
		return nil, err
	}
	err = c.api(ctx, func(ctx context.Context) error {
		page = nil
		inbox := c.nc.NewInbox()
		sub, err := c.nc.SubscribeSync(inbox)
		if err != nil {
			return err
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only without a connection, which ends it, too
		if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+DeadStream, inbox, request); err != nil {
			return err
		}
		for {
			msg, err := sub.NextMsgWithContext(ctx)
			if err != nil {
				return err
			}
			// A sender may have set headers of the same names; the server adds its own after them.
			sequence := last(msg.Header, "Nats-Sequence")
			if sequence == "" {
				return endOfPage(msg)
			}
			n, err := strconv.ParseUint(sequence, 10, 64)
			if err != nil {
				return err
			}
			stored, _ := time.Parse(time.RFC3339Nano, last(msg.Header, "Nats-Time-Stamp")) // else it is not known
			page = append(page, storedMessage{Subject: last(msg.Header, "Nats-Subject"), Sequence: n, Data: msg.Data, Stored: stored, header: msg.Header})
		}
	})
	return page, err
}

// last returns the last value of a header.
func last(header nats.Header, name string) string {
	if values := header.Values(name); len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// endOfPage returns the error that the server's last answer stands for.
func endOfPage(msg *nats.Msg) error {
	switch status := msg.Header.Get("Status"); status {
	case "204", "404": // the end; nothing there
		return nil
	case "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("the server answers %.32q %.128q", status, msg.Header.Get("Description"))
	}
}

// DeadLetter returns the dead letter of a batch, and whether there is one. It is read from
// the leader, because a copy may lag behind. Of a record that cannot be read it
// returns the sequence, true and a BadItem failure.
func (c *Conn) DeadLetter(ctx context.Context, run string, batch int) (pipeline.StoredDeadLetter, bool, error) {
	var reply struct {
		Message storedMessage `json:"message"`
	}
	what := "read the dead letter of batch " + pipeline.BatchID(run, batch)
	err := pipeline.ValidateRunName(run)
	if err == nil {
		err = c.request(ctx, "$JS.API.STREAM.MSG.GET."+DeadStream, map[string]any{"last_by_subj": deadSubject(run, batch)}, &reply)
	}
	m := reply.Message
	if err == nil && len(m.Header) > 0 {
		m.header, err = nats.DecodeHeadersMsg(m.Header)
	}
	switch {
	case code(err) == codeNoMessage, errors.Is(err, jetstream.ErrStreamNotFound):
		return pipeline.StoredDeadLetter{}, false, nil
	case err != nil:
		return pipeline.StoredDeadLetter{}, false, fmt.Errorf("%s: %w", what, err)
	}
	d, err := c.codec.storedDeadLetter(m)
	return d, true, err
}

// DeleteDeadLetter removes the record with this sequence, and no newer one of its batch. One that
// is already gone is no error.
func (c *Conn) DeleteDeadLetter(ctx context.Context, sequence uint64) error {
	if err := c.owner.allows(ctx); err != nil {
		return fmt.Errorf("delete the dead letter with sequence %d: %w", sequence, err)
	}
	err := c.request(ctx, "$JS.API.STREAM.MSG.DELETE."+DeadStream, map[string]any{"seq": sequence, "no_erase": true}, nil)
	if err == nil || isAbsent(err) {
		return nil
	}
	// The server has one code for everything that it cannot delete.
	if gone := c.request(ctx, "$JS.API.STREAM.MSG.GET."+DeadStream, map[string]any{"seq": sequence}, nil); code(gone) == codeNoMessage {
		return nil
	}
	return fmt.Errorf("delete the dead letter with sequence %d: %w", sequence, err)
}
