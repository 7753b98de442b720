package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	mirrorMost = 32      // dead letters in one pull
	browseMost = 64      // dead letters in one answer to who browses
	browseSize = 2 << 20 // bytes as they travelled, after which an answer ends
)

// PublishDeadLetter keeps what could not be generated, and returns nil once the server has
// confirmed it. An older dead letter of the same batch is replaced. While the server does not
// answer, or the stream is full, it tries again until ctx ends, as PublishResults does. Messages
// are cut to 4 KiB, and further if the dead letter is too large for one message; prompts never
// are. A dead letter that is not valid is a BadItem failure.
func (c *Conn) PublishDeadLetter(ctx context.Context, d pipeline.DeadLetter) error {
	msg, err := c.codec.packDeadLetter(d, min(maxChunkBytes, int(c.nc.MaxPayload())-headroom))
	if err == nil {
		err = c.publishWhole(ctx, d.Run, msg, c.letters)
	}
	if err != nil {
		return fmt.Errorf("publish the dead letter of batch %s: %w", d.ID(), err)
	}
	return nil
}

// packDeadLetter returns a message of at most so many bytes, if messages can be cut so far.
func (c *codec) packDeadLetter(d pipeline.DeadLetter, most int) (*nats.Msg, error) {
	var msg *nats.Msg
	for _, limit := range []int{4 << 10, 1 << 10, 256, 64, 0} { // bytes of a message, until the dead letter fits
		cut := shortened(d, limit)
		if err := cut.Validate(); err != nil {
			return nil, pipeline.Fail(pipeline.BadItem, "%w", err)
		}
		data, err := pipeline.Encode(cut)
		if err != nil {
			return nil, err
		}
		msg = c.pack(deadSubject(d.Run, d.Batch), data)
		if len(data) <= maxDecoded && len(msg.Data) <= most {
			break
		}
	}
	return msg, nil // of the least size that it can have: whether that is too large is the server's word
}

// shortened returns the dead letter with no message longer than this.
func shortened(d pipeline.DeadLetter, limit int) pipeline.DeadLetter {
	d.Message = shorten(d.Message, limit)
	d.Failures = slices.Clone(d.Failures)
	for i := range d.Failures {
		d.Failures[i].Message = shorten(d.Failures[i].Message, limit)
	}
	return d
}

// shorten cuts a text between two characters. Its beginning says what happened.
func shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	const mark = " …"
	end := max(0, limit-len(mark))
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	if end == 0 {
		return ""
	}
	return text[:end] + mark
}

// DeadLettersToMirror takes up to max dead letters that the ledger was not told of yet. It waits
// for the first and takes what else is there. Those that cannot be read have Err set. An ack says
// that the ledger knows; the dead letter itself stays on the stream. It ends with ctx, and its
// acks are sent, as those of Results are.
func (c *Conn) DeadLettersToMirror(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.StoredDeadLetter], error) {
	var all []pipeline.Delivery[pipeline.StoredDeadLetter]
	n := 1
	for bytes, enough := 0, false; len(all) < max && !enough; {
		msgs, lease, err := c.fetch(ctx, c.mirror, n, wait)
		pulled := time.Now()
		if err != nil && len(all) == 0 {
			return nil, fmt.Errorf("take dead letters: %w", err)
		}
		for _, msg := range msgs {
			if enough = len(all) > 0 && (bytes >= fetchBytes || time.Since(pulled) > readFor(lease)); enough {
				_ = c.nc.Publish(msg.Reply, []byte("-NAK")) // not confirmed: should it be lost, the lease ends by itself
				continue
			}
			d := c.deliverDeadLetter(msg, lease, pulled)
			bytes += pipeline.ContentBytes(d.Body.Shared)
			for _, f := range d.Body.Failures {
				bytes += pipeline.ContentBytes(f.Messages) + len(f.Message)
			}
			all = append(all, d)
		}
		if err != nil || len(msgs) < n {
			break
		}
		n, wait = min(max-len(all), mirrorMost), 0
	}
	return all, nil
}

func (c *Conn) deliverDeadLetter(msg *nats.Msg, lease time.Duration, pulled time.Time) pipeline.Delivery[pipeline.StoredDeadLetter] {
	r := newReceipt(c, msg.Reply, lease)
	r.quick, r.since = true, pulled
	in := fetched(msg)
	decode := func(data []byte) (pipeline.StoredDeadLetter, error) {
		d, err := pipeline.DecodeDeadLetter(data)
		return pipeline.StoredDeadLetter{DeadLetter: d, Sequence: in.sequence}, err
	}
	return deliver(c, in, r, "dead", decode, func(d pipeline.StoredDeadLetter) (string, int) { return d.Run, d.Batch })
}

// DeadLetters yields the dead letters of a run, or of all runs if it is empty, that are there
// when it begins, oldest first. What is removed meanwhile may be missing, and what is replaced
// comes with its new record or not at all. It holds a few MiB of them at a time.
//
// Of a record that cannot be read it yields the sequence, with run and batch as the subject says
// them, and a BadItem failure, and goes on. Any other error is the last thing it yields.
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
			if m.Sequence > state.Last { // it came later; redriven ones that fail again would never end
				return nil
			}
			page[i] = storedMessage{}
			next = m.Sequence + 1
			if !yield(c.storedDeadLetter(m)) {
				return nil
			}
		}
	}
	return nil
}

// A storedMessage is a message on a stream, as it lies there.
type storedMessage struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Header   []byte `json:"hdrs"` // as it travels
	Data     []byte `json:"data"`

	header nats.Header
}

func (c *Conn) storedDeadLetter(m storedMessage) (pipeline.StoredDeadLetter, error) {
	data, err := c.codec.unpack(m.header, m.Data)
	var d pipeline.DeadLetter
	if err == nil {
		d, err = pipeline.DecodeDeadLetter(data)
	}
	if err == nil && !ofBatch(m.Subject, "dead", d.Run, d.Batch) {
		err = fmt.Errorf("it is of batch %s, which is not what its subject says", d.ID())
	}
	if err != nil {
		d = pipeline.DeadLetter{}
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
	request, err := pipeline.Encode(map[string]any{"seq": from, "next_by_subj": subjects, "batch": browseMost, "max_bytes": browseSize})
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
		defer func() { _ = sub.Unsubscribe() }() // fails with the connection only, and then it is gone
		if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+DeadStream, inbox, request); err != nil {
			return err
		}
		for {
			msg, err := sub.NextMsgWithContext(ctx)
			if err != nil {
				return err
			}
			// A sender may have set a header of any name; the server's own stand behind it.
			sequence := last(msg.Header, "Nats-Sequence")
			if sequence == "" {
				return endOfPage(msg)
			}
			n, err := strconv.ParseUint(sequence, 10, 64)
			if err != nil {
				return err
			}
			page = append(page, storedMessage{Subject: last(msg.Header, "Nats-Subject"), Sequence: n, Data: msg.Data, header: msg.Header})
		}
	})
	return page, err
}

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

// DeadLetter returns the dead letter of a batch, and whether there is one. It is read where it
// was written last, so that no copy that lags behind answers. Of a record that cannot be read it
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
	d, err := c.storedDeadLetter(m)
	return d, true, err
}

// DeleteDeadLetter removes the record with this sequence, and no newer one of its batch. One that
// is already gone is no error.
func (c *Conn) DeleteDeadLetter(ctx context.Context, sequence uint64) error {
	err := c.request(ctx, "$JS.API.STREAM.MSG.DELETE."+DeadStream, map[string]any{"seq": sequence, "no_erase": true}, nil)
	if err == nil || isAbsent(err) {
		return nil
	}
	// The server has one number for all that it cannot delete.
	if gone := c.request(ctx, "$JS.API.STREAM.MSG.GET."+DeadStream, map[string]any{"seq": sequence}, nil); code(gone) == codeNoMessage {
		return nil
	}
	return fmt.Errorf("delete the dead letter with sequence %d: %w", sequence, err)
}
