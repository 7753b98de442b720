package stream

import (
	"fmt"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// A message is a message as the server delivered it.
type message struct {
	subject    string
	header     nats.Header
	data       []byte
	deliveries int
	sequence   uint64 // on its stream
}

// natsMessage returns a message that a pull got.
func natsMessage(msg *nats.Msg) message {
	m := message{subject: msg.Subject, header: msg.Header, data: msg.Data}
	if meta, err := msg.Metadata(); err == nil {
		m.deliveries, m.sequence = int(meta.NumDelivered), meta.Sequence.Stream
	}
	return m
}

// A format says how the messages of a stream are read.
type format[T any] struct {
	kind   string // the second token of their subjects
	decode func([]byte) (T, error)
	batch  func(T) (run string, batch int) // which the subject has to name, too
}

// deliver makes a delivery of a message, with Err set if it cannot be read.
func deliver[T any](codec *codec, msg message, r *receipt, f format[T]) pipeline.Delivery[T] {
	d := pipeline.Delivery[T]{Subject: msg.subject, Deliveries: msg.deliveries, Receipt: r}
	data, err := codec.unpack(msg.header, msg.data)
	if err == nil {
		d.Body, err = f.decode(data)
	}
	if err == nil {
		if run, batch := f.batch(d.Body); !ofBatch(msg.subject, f.kind, run, batch) {
			err = fmt.Errorf("the message is of batch %s, which is not what its subject says", pipeline.BatchID(run, batch))
		}
	}
	if err != nil {
		var none T
		d.Body, d.Err = none, fmt.Errorf("message on %s: %w", msg.subject, err)
	}
	return d
}
