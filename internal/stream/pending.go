package stream

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
)

// pendingCalls are the calls that wait for an answer which may never come: the server reports a
// missing permission beside the conversation and not as the answer, and an answer is lost with the
// connection that it was to arrive on. The zero value is ready.
type pendingCalls struct {
	mu  sync.Mutex
	all map[*pendingCall]struct{}
}

type pendingCall struct {
	prefix string // of the subjects published to
	cancel context.CancelCauseFunc
}

var deniedSubject = regexp.MustCompile(`(?i)(publish|subscription) to "([^"\s]+)"?`)

// deny ends the calls that a missing permission concerns.
func (p *pendingCalls) deny(err error) {
	m := deniedSubject.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	if strings.HasPrefix(m[2], helloSubject("")) {
		return // no call waits for news
	}
	subscribing := strings.EqualFold(m[1], "subscription") // to an inbox: no call gets its answer
	denied := pipeline.Fail(pipeline.Fatal, "%w: give this NATS user the permission, or use another user's credentials", err)
	p.end(denied, func(prefix string) bool { return subscribing || strings.HasPrefix(m[2], prefix) })
}

// disconnect ends all calls because the connection is lost.
func (p *pendingCalls) disconnect() { p.end(nats.ErrDisconnected, func(string) bool { return true }) }

func (p *pendingCalls) end(cause error, concerns func(prefix string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for call := range p.all {
		if concerns(call.prefix) {
			call.cancel(cause)
		}
	}
}

// watch returns a context that also ends when the server refuses a publish to a subject with this
// prefix, or when the connection is lost. The caller calls done when it needs no answer any more.
func (p *pendingCalls) watch(ctx context.Context, prefix string) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	call := &pendingCall{prefix, cancel}
	p.mu.Lock()
	if p.all == nil {
		p.all = map[*pendingCall]struct{}{}
	}
	p.all[call] = struct{}{}
	p.mu.Unlock()
	return ctx, func() {
		p.mu.Lock()
		delete(p.all, call)
		p.mu.Unlock()
		cancel(nil)
	}
}

// watchCause returns why a watched context ended before its parent, or nil.
func watchCause(ctx context.Context) error {
	var f *pipeline.Failure
	if cause := context.Cause(ctx); errors.As(cause, &f) || errors.Is(cause, nats.ErrDisconnected) {
		return cause
	}
	return nil
}
