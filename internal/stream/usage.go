package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gleaner/internal/advice"

	"github.com/nats-io/nats.go/jetstream"
)

// usageMaxAge is how long a usage is good enough: a full stream refuses many messages at once.
const usageMaxAge = 5 * time.Second

// A streamUsage is how full a stream is. Its zero value is not known.
type streamUsage struct {
	stream     string
	bytes, max int64
	messages   uint64
}

func (u streamUsage) String() string {
	return fmt.Sprintf("%s holds %s of %s in %d messages", u.stream, sizeText(u.bytes), sizeText(u.max), u.messages)
}

// full reports whether the stream has hardly any room: less than a tenth, or less than a message of
// the average size takes.
func (u streamUsage) full() bool {
	room := u.max - u.bytes
	return u.max > 0 && u.messages > 0 && room < max(u.max/10, u.bytes/int64(u.messages))
}

// streamUsage asks how full a stream is.
func (c *client) streamUsage(ctx context.Context, stream string) streamUsage {
	u := streamUsage{stream: stream}
	_ = c.call(ctx, "$JS.API.STREAM.INFO."+stream, 2*time.Second, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, stream)
		if err == nil {
			u = usageOf(stream, s.CachedInfo())
		}
		return err
	})
	return u
}

// NoRoom says which stream is full of those to which a run publishes next, and how full, or
// nothing. With batches on the queue these are the results and the dead letters, else the batches,
// too.
func (c *Conn) NoRoom(ctx context.Context, queued bool) string {
	streams := []string{WorkStream, ResultsStream, DeadStream}
	if queued {
		streams = streams[1:]
	}
	for _, stream := range streams {
		if u := c.streamUsage(ctx, stream); u.full() {
			return u.String()
		}
	}
	return ""
}

func usageOf(stream string, info *jetstream.StreamInfo) streamUsage {
	return streamUsage{stream: stream, bytes: int64(info.State.Bytes), max: info.Config.MaxBytes, messages: info.State.Msgs}
}

// A usageCache knows how full WORK and DEAD are. It may be used by many goroutines.
type usageCache struct {
	c *client

	mu         sync.Mutex
	askedAt    time.Time
	work, dead streamUsage
}

// explain adds to the refusal of a batch how full WORK is, and what to do where nothing can move
// any more: workers hold what they cannot give up, because there is no room for its dead letters.
// A caller that may not ask for the usage gets the refusal as it is.
func (u *usageCache) explain(ctx context.Context, run string, refusal error) error {
	if !errors.Is(refusal, errStreamFull) {
		return refusal
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.askedAt) > usageMaxAge {
		u.work, u.dead, u.askedAt = u.c.streamUsage(ctx, WorkStream), u.c.streamUsage(ctx, DeadStream), time.Now()
	}
	if u.work.max == 0 {
		return refusal
	}
	refusal = fmt.Errorf("%w: %s", refusal, u.work)
	if u.dead.full() {
		refusal = fmt.Errorf("%w. The dead letters are full, too (%s), so workers cannot give up what fails for good; give it up (%s), or enlarge the streams (%s)",
			refusal, u.dead, advice.Command("dead drop", "--run", run, "--yes"), advice.Command("publish", "--run", run, "--max-bytes", "SIZE"))
	}
	return refusal
}
