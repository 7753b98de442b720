package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// fullReportInterval is how long a stream that is full again with each message is not reported
// again.
const fullReportInterval = 5 * time.Minute

// A blockingPublisher makes its callers wait while its stream has no room, and says so once.
type blockingPublisher struct {
	publisher *publisher
	what      string                  // results, or dead letters
	advice    func(run string) string // how a person makes room
	full      outage.Reporter
}

func resultsPublisher(p *publisher) *blockingPublisher {
	return &blockingPublisher{publisher: p, what: "results", full: outage.Reporter{Quiet: fullReportInterval}, advice: func(string) string {
		return "a sink makes room: is one running, and what does it say?"
	}}
}

func deadLetterPublisher(p *publisher) *blockingPublisher {
	return &blockingPublisher{publisher: p, what: "dead letters", full: outage.Reporter{Quiet: fullReportInterval}, advice: deadLetterAdvice}
}

// deadLetterAdvice says how room is made for dead letters. Trying them again needs room on WORK.
func deadLetterAdvice(run string) string {
	return fmt.Sprintf("make room: try again what failed (%s), give it up (%s), or enlarge the streams (%s)",
		advice.Command("dead redrive", "--run", run), advice.Command("dead drop", "--run", run, "--yes"), advice.Command("publish", "--run", run, "--max-bytes", "SIZE"))
}

// publish sends a message, and waits until the stream has room for it.
func (b *blockingPublisher) publish(ctx context.Context, run string, msg *nats.Msg) error {
	loop := outage.Loop{
		Log: b.publisher.c.log, Back: "there is room for " + b.what + " again", Reporter: &b.full,
		Wait:  outage.NewBackoff(100*time.Millisecond, 5*time.Second),
		Stops: func(err error) bool { return !errors.Is(err, pipeline.ErrFull) },
	}
	return loop.Do(ctx, func(ctx context.Context) error {
		err := b.publisher.publish(ctx, msg, 0)
		loop.Away = "no room for " + b.what + ", waiting until there is; nothing is lost"
		if errors.Is(err, errStreamFull) {
			loop.Away += "; " + b.advice(run)
		}
		return err
	})
}
