package consumer

import (
	"context"
	"time"

	"gleaner/internal/outage"
)

const (
	proveAfter   = time.Second // without a batch
	provePause   = 5 * time.Second
	maxProve     = 5 * time.Minute
	promptsEvery = 10 * time.Minute // between two questions whether a server still cuts prompts
)

// proveItself has a lane show that it works, when it has nothing else to do and verdicts that hold
// only if it does. Others wait to know that, so they are told at once.
func (l *lane) proveItself(ctx context.Context, tell func()) {
	told, pause, next := 0, provePause, time.Time{}
	for outage.Sleep(ctx, proveAfter) == nil {
		if l.times.Idle() < proveAfter || !l.breaker.Closed() {
			continue
		}
		if waiting := l.record.Waiting(); waiting == nil {
			pause, next = provePause, time.Time{}
		} else if time.Now().Before(next) {
			continue
		} else if err := l.requests.Canary(ctx, *waiting, false); err != nil {
			pause, next = min(2*pause, maxProve), time.Now().Add(pause)
		}
		if l.record.Settled(told) {
			tell()
		}
		told = l.record.Proven()
	}
}

// watchPrompts finds out now and then whether a server that cuts prompts still does.
func (l *lane) watchPrompts(ctx context.Context) {
	for outage.Sleep(ctx, promptsEvery) == nil {
		l.prompts.Again(ctx)
	}
}
