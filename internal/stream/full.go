package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	codeStoreFailed      jetstream.ErrorCode = 10077 // what a full stream answers, with the reason in its text
	codeAccountResources jetstream.ErrorCode = 10002
	codeResources        jetstream.ErrorCode = 10023

	tellFullEvery = 5 * time.Minute // of a stream that is full again with each message
)

// An outlet is a stream that makes its publishers wait while it has no room, and what a person is
// told of that.
type outlet struct {
	what    string // results, or dead letters
	advice  func(run string) string
	trouble outage.Reporter
}

func resultsOutlet() *outlet {
	return &outlet{what: "results", trouble: outage.Reporter{Quiet: tellFullEvery}, advice: func(string) string {
		return "a sink makes room: is one running, and what does it say?"
	}}
}

func deadOutlet() *outlet {
	return &outlet{what: "dead letters", trouble: outage.Reporter{Quiet: tellFullEvery}, advice: deadAdvice}
}

// deadAdvice says how room is made for dead letters. Trying them again needs room on WORK.
func deadAdvice(run string) string {
	return fmt.Sprintf("make room: try again what failed (producer dead redrive --run %[1]s), give it up (producer dead drop --run %[1]s --yes), "+
		"or enlarge the streams (producer publish --run %[1]s --max-bytes SIZE)", run)
}

// publishWhole publishes, and waits while the stream has no room.
func (c *Conn) publishWhole(ctx context.Context, run string, msg *nats.Msg, to *outlet) error {
	wait := newWait(100*time.Millisecond, 10*time.Second)
	for {
		err := c.publish(ctx, msg, 0)
		if !errors.Is(err, pipeline.ErrFull) {
			if err == nil && to.trouble.Ends() {
				c.log.Info("there is room for " + to.what + " again")
			}
			return err
		}
		if to.trouble.Begins(err) {
			advice := ""
			if errors.Is(err, errStreamFull) {
				advice = "; " + to.advice(run)
			}
			c.log.Warn("no room for "+to.what+", waiting until there is; nothing is lost"+advice, zap.Error(err))
		}
		if wait.next(ctx) != nil {
			return ctx.Err()
		}
	}
}

// errStreamFull says that the stream's own limit is reached, and not the account's or the server's.
var errStreamFull = errors.New("its limit is reached")

// noRoom returns what a refusal means if it is one for want of room, else nil.
func noRoom(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return nil
	}
	switch api.ErrorCode {
	case codeStoreFailed:
		if strings.Contains(api.Description, "per subject") {
			return pipeline.ErrOutstanding
		}
		return fmt.Errorf("%w: %w (%s)", pipeline.ErrFull, errStreamFull, api.Description)
	case codeStorage, codeAccountResources:
		return fmt.Errorf("%w: the NATS account's storage is used up (%w): delete a stream of it that is not needed, or use a larger account", pipeline.ErrFull, api)
	case codeResources:
		return fmt.Errorf("%w: the NATS server's storage is used up (%w): make room on its disk, or raise its limit (max_file_store)", pipeline.ErrFull, api)
	}
	return nil
}

// inNumbers adds to the refusal of a batch how full WORK is, and what to do where nothing can
// move any more: workers hold what they cannot give up because there is no room for its dead
// letters. Who may not ask for this gets the refusal as it is.
func (c *Conn) inNumbers(ctx context.Context, run string, refusal error) error {
	if !errors.Is(refusal, errStreamFull) {
		return refusal
	}
	c.levelMu.Lock()
	defer c.levelMu.Unlock()
	if time.Since(c.levelAt) > levelFor {
		c.work, c.dead, c.levelAt = c.level(ctx, WorkStream), c.level(ctx, DeadStream), time.Now()
	}
	if c.work.max == 0 {
		return refusal
	}
	refusal = fmt.Errorf("%w: %s", refusal, c.work)
	if c.dead.max > 0 && c.dead.bytes > c.dead.max-c.dead.max/10 {
		refusal = fmt.Errorf("%w. The dead letters are full, too (%s), so workers cannot give up what fails for good; give it up (producer dead drop --run %[3]s --yes), "+
			"or enlarge the streams (producer publish --run %[3]s --max-bytes SIZE)", refusal, c.dead, run)
	}
	return refusal
}

// levelFor is how long a level is good enough: a full stream refuses many at once.
const levelFor = 5 * time.Second

// A level is how full a stream is. Its zero value is not known.
type level struct {
	stream     string
	bytes, max int64
	messages   uint64
}

func (l level) String() string {
	return fmt.Sprintf("%s holds %s of %s in %d messages", l.stream, size(l.bytes), size(l.max), l.messages)
}

func (c *Conn) level(ctx context.Context, stream string) level {
	l := level{stream: stream}
	_ = c.call(ctx, "$JS.API.STREAM.INFO."+stream, 2*time.Second, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, stream)
		if err == nil {
			info := s.CachedInfo()
			l.bytes, l.max, l.messages = int64(info.State.Bytes), info.Config.MaxBytes, info.State.Msgs
		}
		return err
	})
	return l
}
