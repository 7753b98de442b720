package stream

import (
	"context"
	"fmt"
	"strings"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// HandBackFor hands back what a process held that is gone, by the replies that its Holdings noted.
// The caller knows that their leases still run.
func (c *Conn) HandBackFor(ctx context.Context, replies []string) error {
	err := c.call(ctx, "$JS.ACK.", ackWithin, func(ctx context.Context) error {
		for _, reply := range replies {
			if tokens := strings.Split(reply, "."); len(tokens) < 9 || tokens[1] != "ACK" || tokens[2] != WorkStream && tokens[4] != WorkStream {
				return pipeline.Fail(pipeline.BadItem, "%.100q is no place for acks of work", reply)
			}
			if err := c.nc.Publish(reply, []byte("-NAK")); err != nil {
				return err
			}
		}
		return c.nc.FlushWithContext(ctx)
	})
	return wrapped("hand back what an earlier consumer held", err)
}

// ForgetConsumer removes the presence of a consumer that is gone.
func (c *Conn) ForgetConsumer(ctx context.Context, id string) error {
	if !isToken(id) {
		return fmt.Errorf("forget consumer %.64q: its id cannot be part of a subject", id)
	}
	err := c.call(ctx, presenceSubject(id), ackWithin, func(ctx context.Context) error {
		msg := &nats.Msg{Subject: presenceSubject(id), Header: nats.Header{"KV-Operation": []string{"DEL"}}}
		_, err := c.js.PublishMsg(ctx, msg)
		return err
	})
	return wrapped("forget consumer "+id, err)
}
