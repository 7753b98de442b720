package stream

import (
	"context"
	"fmt"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// PublishResults sends answers to the store's side, in as many messages as their size needs, and
// returns nil once the server has confirmed all of them. While the server does not answer, or the
// stream is full, it tries again until ctx ends: nothing is dropped, and the caller keeps its
// lease meanwhile. Results that are not valid are a BadItem failure. Those of which one alone is
// too large for a message are not sent; once all others are, it returns a pipeline.SizeError that
// names them.
func (c *Conn) PublishResults(ctx context.Context, r pipeline.Results) error {
	if err := r.Validate(); err != nil {
		return pipeline.Fail(pipeline.BadItem, "publish results of batch %s: %w", r.ID(), err)
	}
	messages, tooLarge, err := c.codec.chunks(r, c.publisher.messageLimit())
	if err != nil {
		return fmt.Errorf("publish results of batch %s: %w", r.ID(), err)
	}
	for i, msg := range messages {
		msg.Subject = resultSubject(r.Run, r.Batch, i)
		if err := c.results.publish(ctx, r.Run, msg); err != nil {
			return fmt.Errorf("publish results of batch %s: %w", r.ID(), err)
		}
	}
	if tooLarge != nil {
		return fmt.Errorf("publish results of batch %s: %w", r.ID(), tooLarge)
	}
	return nil
}

// chunks packs the results into messages of at most this many bytes, and halves what does not fit
// into one. Of those that do not fit alone it returns which they are, and nil if there are none.
func (c *codec) chunks(r pipeline.Results, most int) (messages []*nats.Msg, tooLarge *pipeline.SizeError, err error) {
	data, err := pipeline.Encode(r)
	if err != nil {
		return nil, nil, err
	}
	msg := c.pack("", data)
	if len(data) <= maxDecoded && len(msg.Data) <= most {
		return []*nats.Msg{msg}, nil, nil
	}
	if len(r.Results) == 1 {
		return nil, &pipeline.SizeError{Bytes: len(msg.Data), Limit: most, Indexes: []int{r.Results[0].Index}}, nil
	}
	half := len(r.Results) / 2
	first, second := r, r
	first.Results, second.Results = r.Results[:half], r.Results[half:]
	for _, part := range []pipeline.Results{first, second} {
		more, larger, err := c.chunks(part, most)
		if err != nil {
			return nil, nil, err
		}
		messages = append(messages, more...)
		switch {
		case tooLarge == nil:
			tooLarge = larger
		case larger != nil:
			tooLarge.Bytes, tooLarge.Indexes = max(tooLarge.Bytes, larger.Bytes), append(tooLarge.Indexes, larger.Indexes...)
		}
	}
	return messages, tooLarge, nil
}

// Results takes up to max messages for the store's side, and returns those that are there when
// wait is over. Messages that cannot be read have Err set. It returns ctx.Err() at once when ctx
// ends; what was on its way is handed back.
//
// The acks, rejections and extensions of these deliveries are sent in order and not confirmed one
// by one, which would cost a round trip each. One that is lost with its connection costs a second
// delivery, and the store absorbs that.
func (c *Conn) Results(ctx context.Context, max int, wait time.Duration) ([]pipeline.Delivery[pipeline.Results], error) {
	until := time.Now().Add(wait)
	t := taker[pipeline.Results]{
		durable: c.sink,
		next: func(taken int) (int, time.Duration) {
			return min(max-taken, fetchMessages), time.Until(until)
		},
		read: c.readResults,
	}
	results, err := t.take(ctx, max)
	if err != nil {
		return nil, fmt.Errorf("take results: %w", err)
	}
	return results, nil
}

func (c *Conn) readResults(msg *nats.Msg, r *receipt) (pipeline.Delivery[pipeline.Results], int) {
	d := deliver(c.codec, natsMessage(msg), r, format[pipeline.Results]{
		kind: "result", decode: pipeline.DecodeResults, batch: func(r pipeline.Results) (string, int) { return r.Run, r.Batch },
	})
	return d, textBytes(d.Body)
}

// textBytes returns how much memory answers take, however little they took on the way.
func textBytes(r pipeline.Results) (n int) {
	for _, x := range r.Results {
		n += len(x.Text)
	}
	return n
}
