package stream

import (
	"fmt"
	"strconv"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// A TrafficMeter says what the exchanges of this package cost, without a server: it composes each
// as it would travel. Which bytes an account is charged for depends on its provider; a Traffic has
// both counts that come into question. It is for one goroutine.
type TrafficMeter struct{ codec *codec }

// NewTrafficMeter returns a meter. It fails only if compression cannot be prepared.
func NewTrafficMeter() (*TrafficMeter, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &TrafficMeter{codec}, nil
}

// Names and numbers of the usual length.
const (
	typicalSequence = 12345
	typicalTime     = 1700000000000000000 // of a delivery, in nanoseconds
	typicalSID      = 123                 // number of a subscription
	nuidBytes       = 22                  // of a random name
	inboxBytes      = len("_INBOX_") + nuidBytes + len(".") + nuidBytes
	replyBytes      = inboxBytes + len(".") + 8 // of a request; many share an inbox

	// The sizes of JetStream's answers, as measured on server 2.15. An answer about a stream or a
	// durable contains its configuration and its state.
	streamInfoBytes  = 885
	durableInfoBytes = 895
	expiredPullBytes = 86 // the server says that a pull has expired
	heartbeatBytes   = 75
	storedExtra      = 34   // what a stream adds to each message, besides its subject
	connectWire      = 1500 // of a connection, both sides' greetings
	pingWire         = 12   // and its answer
	serverPingEvery  = 2 * time.Minute
)

// sent is one message from a client to the server.
func sent(subject, reply, header, body int) pipeline.Traffic {
	line := len("PUB ") + subject + len(" ") + digits(header+body) + len("\r\n\r\n")
	if reply > 0 {
		line += reply + len(" ")
	}
	if header > 0 {
		line += len("H ") + digits(header)
	}
	return pipeline.Traffic{Messages: 1, Bytes: float64(header + body), Wire: float64(line + header + body)}
}

// received is one message from the server to a client.
func received(subject, reply, header, body int) pipeline.Traffic {
	t := sent(subject, reply, header, body)
	t.Wire += float64(len(" ") + digits(typicalSID))
	return t
}

// asked is a request that has an answer.
func asked(subject string, body, answer int) pipeline.Traffic {
	return sent(len(subject), replyBytes, 0, body).Plus(received(replyBytes, 0, 0, answer))
}

func digits(n int) int { return len(strconv.Itoa(n)) }

// published is a message that a stream takes and confirms.
func published(msg *nats.Msg, subject, stream string) pipeline.Traffic {
	confirmed := len(fmt.Sprintf(`{"stream":"%s","seq":%d}`, stream, typicalSequence))
	return sent(len(subject), replyBytes, headerBytes(msg), len(msg.Data)).Plus(received(replyBytes, 0, 0, confirmed))
}

// delivered is a message on its way from a stream to a client.
func delivered(msg *nats.Msg, subject, stream, durable string) pipeline.Traffic {
	return received(len(subject), len(ackSubject(stream, durable)), headerBytes(msg), len(msg.Data))
}

func headerBytes(msg *nats.Msg) int {
	if len(msg.Header) == 0 {
		return 0
	}
	n := len("NATS/1.0\r\n\r\n")
	for name, values := range msg.Header {
		for _, value := range values {
			n += len(name) + len(": \r\n") + len(value)
		}
	}
	return n
}

func ackSubject(stream, durable string) string {
	return fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.%d", stream, durable, typicalSequence, typicalSequence, typicalTime, typicalSequence)
}

// pulling is a pull without the messages that it brings.
func pulling(stream, durable, request string) pipeline.Traffic {
	t := sent(len("$JS.API.CONSUMER.MSG.NEXT.")+len(stream)+len(".")+len(durable), inboxBytes, 0, len(request))
	sid := digits(typicalSID)
	t.Wire += float64(len("SUB ")+inboxBytes+len("  ")+sid+len("\r\n")) + float64(len("UNSUB ")+sid+len("\r\n"))
	return t
}

// Work is what a batch costs on its way to a worker: it is published, delivered, begun and
// acknowledged.
// Size is the message as it travels, which must not be larger than the server accepts; stored is
// the room that it takes on its stream. Both are bytes.
func (m *TrafficMeter) Work(w pipeline.Work) (t pipeline.Traffic, size, stored int, err error) {
	data, err := pipeline.Encode(w)
	if err != nil {
		return t, 0, 0, fmt.Errorf("encode batch %s: %w", w.ID(), err)
	}
	subject := workSubject(w.Run, w.Batch)
	msg := m.codec.pack(subject, data)
	t = published(msg, subject, WorkStream).
		Plus(m.workPull(w.Run)).
		Plus(delivered(msg, subject, WorkStream, w.Run)).
		Plus(sent(len(ackSubject(WorkStream, w.Run)), 0, 0, len("+WPI"))). // see receipt.write
		Plus(asked(ackSubject(WorkStream, w.Run), len("+ACK"), 0))
	size = headerBytes(msg) + len(msg.Data)
	return t, size, size + len(subject) + storedExtra, nil
}

func (m *TrafficMeter) workPull(run string) pipeline.Traffic {
	return pulling(WorkStream, run, fmt.Sprintf(`{"batch":10,"expires":%d,"idle_heartbeat":%d}`, PullExpiry, PullHeartbeat))
}

// Results is what the answers of a batch cost on their way to the store, and how many bytes of
// their stream they take meanwhile. It excludes the sink's pulls: see SinkPull.
func (m *TrafficMeter) Results(r pipeline.Results) (t pipeline.Traffic, stored int, err error) {
	chunks, _, err := m.codec.chunks(r, maxChunkBytes) // one answer always has room in that
	if err != nil {
		return t, 0, fmt.Errorf("encode results of batch %s: %w", r.ID(), err)
	}
	for i, msg := range chunks {
		subject := resultSubject(r.Run, r.Batch, i)
		t = t.Plus(published(msg, subject, ResultsStream)).
			Plus(delivered(msg, subject, ResultsStream, sinkDurable)).
			Plus(sent(len(ackSubject(ResultsStream, sinkDurable)), 0, 0, len("+ACK")))
		stored += len(subject) + headerBytes(msg) + len(msg.Data) + storedExtra
	}
	return t, stored, nil
}

// Renewal is what it costs to renew the lease of a batch once.
func (m *TrafficMeter) Renewal(run string) pipeline.Traffic {
	return asked(ackSubject(WorkStream, run), len("+WPI"), 0)
}

// Presence is what one report of a consumer costs, without its readers.
func (m *TrafficMeter) Presence(c pipeline.Presence) (pipeline.Traffic, error) {
	data, err := pipeline.Encode(c)
	if err != nil {
		return pipeline.Traffic{}, fmt.Errorf("encode consumer %s: %w", c.ID, err)
	}
	return published(&nats.Msg{Data: data}, presenceSubject(c.ID), bucketStream), nil
}

// Heard is what it costs a program that watches the consumers to hear one report.
func (m *TrafficMeter) Heard(c pipeline.Presence) (pipeline.Traffic, error) {
	data, err := pipeline.Encode(c)
	if err != nil {
		return pipeline.Traffic{}, fmt.Errorf("encode consumer %s: %w", c.ID, err)
	}
	return received(len(presenceSubject(c.ID)), replyBytes, 0, len(data)), nil
}

// IdlePull is what a pull for work costs that gets nothing, and how long it lasts: an idle GPU
// makes one after the other.
func (m *TrafficMeter) IdlePull(run string) (pipeline.Traffic, time.Duration) {
	return m.workPull(run).Plus(waiting(PullExpiry)), PullExpiry
}

// waiting is what the server says on a pull that gets nothing in this time.
func waiting(wait time.Duration) pipeline.Traffic {
	t := received(inboxBytes, 0, expiredPullBytes, 0)
	if wait > 2*PullHeartbeat {
		t = t.Plus(received(inboxBytes, 0, heartbeatBytes, 0).Times(float64((wait - 1) / PullHeartbeat)))
	}
	return t
}

// SinkPull is what a pull for results costs that waits for this long, besides the results.
func (m *TrafficMeter) SinkPull(wait time.Duration) pipeline.Traffic {
	return m.emptyPull(ResultsStream, sinkDurable, wait)
}

// MirrorPull is the same for dead letters.
func (m *TrafficMeter) MirrorPull(wait time.Duration) pipeline.Traffic {
	return m.emptyPull(DeadStream, mirrorDurable, wait)
}

func (m *TrafficMeter) emptyPull(stream, durable string, wait time.Duration) pipeline.Traffic {
	request := `{"batch":128,"expires":999999999}`
	if wait > 2*PullHeartbeat {
		request = fmt.Sprintf(`{"batch":1,"expires":%d,"idle_heartbeat":%d}`, wait, PullHeartbeat)
	}
	return pulling(stream, durable, request).Plus(waiting(wait))
}

// Look is what it costs to look up the durable of a run, or one of the sink's.
func (m *TrafficMeter) Look(durable string) pipeline.Traffic {
	return asked("$JS.API.CONSUMER.INFO."+WorkStream+"."+durable, 0, durableInfoBytes)
}

// Depth is what it costs to count a run's messages on the streams while results wait there.
func (m *TrafficMeter) Depth(run string) pipeline.Traffic {
	info := "$JS.API.STREAM.INFO." + ResultsStream
	filter := len(`{"subjects_filter":""}`) + len(resultSubjects(run))
	return m.Look(run).Plus(asked(info, 0, streamInfoBytes)).Plus(asked(info, filter, streamInfoBytes+200)).Plus(m.Look(sinkDurable))
}

// Ensure is what it costs to see that all streams and durables of a run exist.
func (m *TrafficMeter) Ensure(run string) pipeline.Traffic {
	return asked("$JS.API.STREAM.INFO."+WorkStream, 0, streamInfoBytes).Times(4).Plus(m.Look(run).Times(3))
}

// Queued is what it costs to list this many batches on the queue.
func (m *TrafficMeter) Queued(run string, batches int) pipeline.Traffic {
	return asked("$JS.API.STREAM.INFO."+WorkStream, len(`{"subjects_filter":""}`)+len(workSubjects(run)), streamInfoBytes+batches*(len(workSubject(run, 0))+len(`"":1,`)))
}

// Search is what it costs to look for a batch that is not on the list: on the queue and among the
// results.
func (m *TrafficMeter) Search(run string) pipeline.Traffic {
	filter := len(`{"subjects_filter":""}`) + len(resultSubjects(run)) + nameOfBatch
	return asked("$JS.API.STREAM.INFO."+ResultsStream, filter, streamInfoBytes+nameOfBatch).Times(2)
}

// nameOfBatch is how much longer a subject is with a batch in it.
const nameOfBatch = 8

// Connection is what it costs to connect a program and prepare its streams.
func (m *TrafficMeter) Connection(run string) pipeline.Traffic {
	return m.Ensure(run).Times(2).Plus(pipeline.Traffic{Wire: connectWire})
}

// KeepAlive is what a connection costs in an hour with nothing else on it.
func (m *TrafficMeter) KeepAlive() pipeline.Traffic {
	return pipeline.Traffic{Wire: pingWire * float64(time.Hour/PingEvery+time.Hour/serverPingEvery)}
}
