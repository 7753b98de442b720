package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Probe is what a NATS server is, and lets this user do.
type Probe struct {
	Server     string // its address, without any secret
	Version    string
	RoundTrip  time.Duration
	MaxPayload int64
	JetStream  error               // why it cannot be used, as far as this user may ask; nil: it can
	Limited    bool                // the account says its limits, which are the next two
	MaxStore   int64               // bytes that all streams may hold; not positive: no limit
	Reserved   int64               // bytes of them that streams have reserved
	Refused    map[string][]string // subjects of a role, producer, consumer or sink, that this user may not use
}

// probeWithin is how long a probe may take: each of its questions takes a round trip.
const probeWithin = 20 * time.Second

// noStream is a name that no stream has. A message for it is refused by every stream that takes
// messages of its subject, so that nothing of a probe stays.
const noStream = "GLEANER_NONE"

// probes returns what each role publishes and hears. No durable has the names in them, and no run.
func probes() map[string]struct{ publish, subscribe []string } {
	return map[string]struct{ publish, subscribe []string }{
		"producer": {publish: []string{
			"$JS.API.STREAM.CREATE.GLEANER_WORK", "$JS.API.STREAM.INFO.GLEANER_WORK", "$JS.API.CONSUMER.CREATE.GLEANER_WORK.doctor",
			"gleaner.work.doctor.0", "gleaner.hello.doctor",
		}},
		"consumer": {publish: []string{
			"$JS.API.CONSUMER.LIST.GLEANER_WORK", "$JS.API.CONSUMER.MSG.NEXT.GLEANER_WORK.doctor", "$JS.ACK.GLEANER_WORK.doctor",
			"gleaner.result.doctor.0", "gleaner.dead.doctor.0", "$KV.gleaner_consumers.doctor",
		}, subscribe: []string{"gleaner.hello.*"}},
		"sink": {publish: []string{
			"$JS.API.CONSUMER.INFO.GLEANER_RESULTS.sink", "$JS.API.CONSUMER.MSG.NEXT.GLEANER_RESULTS.sink", "$JS.ACK.GLEANER_RESULTS.doctor",
			"$JS.ACK.GLEANER_DEAD.doctor",
		}, subscribe: []string{"$KV.gleaner_consumers.*"}},
	}
}

// Probe says what the server is, and tries what each role needs. It leaves nothing behind: what
// it publishes is for a stream that does not exist, or is no request.
func (c *Conn) Probe(ctx context.Context) (Probe, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	e := Probe{Server: c.nc.ConnectedUrlRedacted(), Version: c.nc.ConnectedServerVersion(), MaxPayload: c.nc.MaxPayload(), Refused: map[string][]string{}}
	began := time.Now()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return e, fmt.Errorf("the NATS server does not answer: %w", err)
	}
	e.RoundTrip = time.Since(began)
	for role, probe := range probes() {
		for _, subject := range probe.publish {
			refused, err := c.refuses(ctx, subject, c.tryPublish)
			if err != nil {
				return e, err
			}
			if refused {
				e.Refused[role] = append(e.Refused[role], "publish "+subject)
			}
		}
		for _, subject := range probe.subscribe {
			refused, err := c.refuses(ctx, subject, c.trySubscribe)
			if err != nil {
				return e, err
			}
			if refused {
				e.Refused[role] = append(e.Refused[role], "subscribe "+subject)
			}
		}
	}
	may, err := c.refuses(ctx, "$JS.API.INFO", c.tryPublish)
	if err != nil || may { // most roles may not ask
		return e, err
	}
	info, err := c.js.AccountInfo(ctx)
	switch {
	case err != nil:
		e.JetStream = err
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || isNoResponders(err) {
			e.JetStream = errors.New("JetStream is not enabled there")
		}
	default:
		a := accountOf(info, 1, 0)
		e.Limited, e.MaxStore, e.Reserved = true, a.maxStore, a.reserved
	}
	return e, nil
}

// refuses reports whether the server refuses what try does with a subject. The refusal comes before
// the answer to the PING that follows.
func (c *Conn) refuses(ctx context.Context, subject string, try func(subject string) (func(), error)) (bool, error) {
	end, err := try(subject)
	if err != nil {
		return false, err
	}
	defer end()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return false, fmt.Errorf("trying %s: %w", subject, err)
	}
	last := c.nc.LastError()
	return last != nil && errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`), nil
}

func (c *Conn) tryPublish(subject string) (func(), error) {
	msg := nats.NewMsg(subject)
	msg.Data = []byte("doctor")
	if strings.HasPrefix(subject, "$JS.API.") {
		msg.Data = []byte("{}") // which names no stream, and is refused for that without a word in the server's log
	}
	msg.Header.Set(jetstream.ExpectedStreamHeader, noStream)
	return func() {}, c.nc.PublishMsg(msg)
}

func (c *Conn) trySubscribe(subject string) (func(), error) {
	sub, err := c.nc.SubscribeSync(subject)
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
