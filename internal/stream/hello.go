package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// newsWithin is how long news may take to leave this process. They are kept nowhere, so what is
// late is of no use.
const newsWithin = 2 * time.Second

// TellConsumers tells the consumers of a run at once what they would find out later. The message is
// kept nowhere: a consumer that is not connected at this moment does not get it.
func (c *Conn) TellConsumers(ctx context.Context, run pipeline.Run, what pipeline.News) error {
	err := pipeline.ValidateRunName(run.Name)
	var data []byte
	if err == nil {
		data, err = json.Marshal(pipeline.RunNews{UID: run.UID, What: what})
	}
	if err == nil {
		err = c.call(ctx, helloSubject(run.Name), newsWithin, func(ctx context.Context) error {
			if err := c.nc.Publish(helloSubject(run.Name), data); err != nil {
				return err
			}
			return c.nc.FlushWithContext(ctx)
		})
	}
	return wrapped("tell the consumers of run "+run.Name+" that it is "+string(what), err)
}

// OnReconnect calls f each time that there is a connection again, until stop is called. F must
// return at once.
func (c *Conn) OnReconnect(f func()) (stop func()) {
	h := &hearing{listen: func(pipeline.RunNews) { f() }}
	c.hearings.add(h)
	return func() { c.hearings.end(h) }
}

// HearNews calls listen with the news of a run, and with pipeline.NewsMissed after each time
// without a connection, until stop is called. Listen must return at once. Where the NATS user may
// not hear any, as with permissions of an earlier version, it is never called with news.
func (c *Conn) HearNews(run string, listen func(pipeline.RunNews)) (stop func(), err error) {
	if err := pipeline.ValidateRunName(run); err != nil {
		return nil, err
	}
	h := &hearing{listen: listen}
	sub, err := c.nc.Subscribe(helloSubject(run), func(msg *nats.Msg) {
		var news pipeline.RunNews
		if err := json.Unmarshal(msg.Data, &news); err != nil {
			c.log.Debug("news of the run that cannot be read", zap.String("run", run), zap.Error(err))
			return
		}
		h.tell(news)
	})
	if err != nil {
		return nil, fmt.Errorf("listen for news of run %s: %w", run, err)
	}
	c.hearings.add(h)
	return func() {
		_ = sub.Unsubscribe() // fails only without a connection, which ends it, too
		c.hearings.end(h)
	}, nil
}
