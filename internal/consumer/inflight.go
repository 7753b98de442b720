package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	quietTime   = 10 * time.Second // without any token, after which people see that a GPU waits
	firstReport = 30 * time.Second // of waiting, after which the log says so
	reportEvery = 5 * time.Minute  // of further waiting
	inOrder     = time.Second      // requests that were sent within this time may come to the server in another order
	doubtShare  = 3                // a request hangs by itself if others had tokens that part of the stall later than it
)

// inflight knows the requests that a GPU's server has and has not answered, in the order in which
// they were sent. It decides which of them will get no token any more; nothing else bounds that.
//
// A request waits for its first token while the server loads the model, while it works on others
// that came before, and while it reads the prompt. Nothing tells these from a server that hangs,
// so the wait is long, and it begins again with each first token of another request: the server
// gets on. Two things are known sooner. An answer that has begun and gets no token for a while
// hangs: if none of those that have begun gets one, it is the server. And a request hangs that was
// overtaken: one that was sent later has had its first token. If the server works on far fewer
// requests than it has, that proves less, since not every queue is in order.
type inflight struct {
	firstToken time.Duration
	stall      time.Duration
	isLoaded   func(ctx context.Context) bool // asks the server; nil: it cannot be asked
	slots      func() int                     // how many requests there may be
	log        *zap.Logger

	mu       sync.Mutex
	requests []*openRequest
	begun    time.Time // when the newest request was sent that had a token
	longest  int       // bytes of the longest prompt that was answered
	running  int       // requests that had a token
	tokenAt  time.Time // when any request was last seen to get one
	firstAt  time.Time // when any request got its first one
	overlap  overlap
	serial   serial
	loading  bool      // the server has said during this wait that the model is not there
	reported time.Time // when the log last said that all wait
}

// An openRequest is one that was sent and is not answered.
type openRequest struct {
	sent   time.Time
	prompt int          // bytes
	tokens atomic.Int64 // that have come
	cancel context.CancelCauseFunc

	// What the watch has seen.
	seen        int64     // tokens
	tokenAt     time.Time // when they had changed
	overtakenAt time.Time
}

// A stallError says why a request got no token.
type stallError struct {
	message string
	// together says that others got none either, so that the request need not be the reason.
	together bool
	// waited says that the request had no token at all when others that had some stopped: it is
	// not the reason.
	waited bool
}

func (e *stallError) Error() string { return pipeline.ErrStalled.Error() + ": " + e.message }

func (e *stallError) Unwrap() error { return pipeline.ErrStalled }

// failure gives the error its class.
func (e stallError) failure() error {
	return &pipeline.Failure{Class: pipeline.Retryable, Err: &e}
}

// Begin counts a request in. The caller has to send it in the context that is returned, and to call
// End.
func (f *inflight) Begin(ctx context.Context, prompt int) (context.Context, *openRequest) {
	open, cancel := context.WithCancelCause(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &openRequest{sent: time.Now(), prompt: prompt, cancel: cancel}
	f.requests = append(f.requests, r)
	return open, r
}

// Tokens takes in that tokens of a request have come. It is called for each of them.
func (f *inflight) Tokens(r *openRequest, n int) {
	if n > 0 && r.tokens.Add(int64(n)) == int64(n) {
		f.first(r)
	}
}

// End counts a request out, which ended with an error in its context, and returns the error that
// counts.
func (f *inflight) End(open context.Context, r *openRequest, err error) error {
	cause := context.Cause(open)
	r.cancel(nil)
	f.end(r, err == nil)
	var stalled *stallError
	if err != nil && errors.As(cause, &stalled) && !errors.Is(err, cause) {
		return cause
	}
	return err
}

// InFlight returns how many requests there are.
func (f *inflight) InFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// first takes in the first token of a request.
func (f *inflight) first(r *openRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.running++
	f.overlap.Change(now, f.running)
	f.begun = latest(f.begun, r.sent)
	f.firstAt, f.tokenAt, r.tokenAt = now, now, now
	f.loading = false
	if f.serial.First(now, &f.overlap, len(f.requests)) {
		f.log.Warn("this server works on one request at a time, and the others wait there: that is slow, and no failure", zap.Int("requests", len(f.requests)),
			zap.String("setting", f.setting()))
	}
}

// end takes a request out. One that was refused says nothing of those before it.
func (f *inflight) end(r *openRequest, answered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = slices.DeleteFunc(f.requests, func(o *openRequest) bool { return o == r })
	now := time.Now()
	if r.tokens.Load() > 0 {
		f.running--
		f.tokenAt = now
		f.overlap.Change(now, f.running)
		f.serial.End(now, f.running)
	}
	if answered { // also by a model that does not report its tokens
		f.tokenAt, f.loading = now, false
		f.begun = latest(f.begun, r.sent)
		f.longest = max(f.longest, r.prompt)
	}
}

// Watch looks at the requests until ctx ends. When the whole server has stalled it calls stalled
// with the reason and with what cancels all requests.
func (f *inflight) Watch(ctx context.Context, stalled func(why error, cancel func())) {
	var asking sync.WaitGroup
	defer asking.Wait()
	var asked time.Time
	for outage.Sleep(ctx, min(max(f.stall/20, 10*time.Millisecond), time.Second)) == nil {
		now := time.Now()
		if why := f.look(now); why != nil {
			stalled(why.failure(), func() { f.cancelAll(why) })
		}
		n, since := f.Waiting()
		f.report(now, n, since)
		if n > 0 && since >= quietTime/2 && f.isLoaded != nil && now.Sub(asked) >= firstReport {
			asked = now
			asking.Go(func() { f.askLoaded(ctx) })
		}
	}
}

// askLoaded asks the server whether the model is there.
func (f *inflight) askLoaded(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, quietTime)
	defer cancel()
	if f.isLoaded(ctx) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loading = f.running == 0 && len(f.requests) > 0
}

// look cancels the requests that hang. If the whole server does it only returns why.
func (f *inflight) look(now time.Time) *stallError {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if n := r.tokens.Load(); n > r.seen {
			r.seen, r.tokenAt, f.tokenAt = n, now, now
		}
	}
	if f.running > 0 && now.Sub(f.tokenAt) >= f.stall {
		return &stallError{message: fmt.Sprintf("no token for %s from any of %s (--stall)", short(f.stall), plural(f.running, "answer", "answers")), together: f.running > 1}
	}
	for _, r := range f.requests {
		if why := f.hangs(r, now); why != nil {
			r.cancel(why.failure())
		}
	}
	return nil
}

// hangs returns why a request will get no token any more, or nil. The caller holds mu.
func (f *inflight) hangs(r *openRequest, now time.Time) *stallError {
	if r.tokens.Load() > 0 {
		// The first one may have come this moment, and the time of it is not set yet.
		if r.seen > 0 && now.Sub(r.tokenAt) >= f.stall && f.tokenAt.Sub(r.tokenAt) >= f.stall/doubtShare {
			return &stallError{message: fmt.Sprintf("no token for %s, while others came (--stall)", short(f.stall))}
		}
		return nil
	}
	if f.begun.Sub(r.sent) >= inOrder {
		if r.overtakenAt.IsZero() {
			r.overtakenAt = now
		}
		patience, setting := f.patience(r, now)
		if now.Sub(r.overtakenAt) >= patience && (f.running == 0 || now.Sub(f.tokenAt) < f.stall/doubtShare) {
			return &stallError{message: fmt.Sprintf("no first token for %s after a later request had its own (%s)", short(patience.Round(time.Second)), setting)}
		}
	}
	if now.Sub(latest(r.sent, f.firstAt)) >= f.firstToken {
		together := f.running == 0 && len(f.requests) > 1
		return &stallError{message: fmt.Sprintf("no first token within %s (--first-token)", short(f.firstToken)), together: together}
	}
	return nil
}

// patience returns for how long a request may wait after it was overtaken, and the setting that
// says so. A long prompt takes longer to read.
func (f *inflight) patience(r *openRequest, now time.Time) (patience time.Duration, setting string) {
	switch {
	case 2*f.overlap.Most(now) <= len(f.requests): // the others wait in its queue
		return f.firstToken, "--first-token"
	case f.longest == 0 || r.prompt <= f.longest:
		return f.stall, "--stall"
	}
	patience = time.Duration(float64(f.stall) * float64(r.prompt) / float64(f.longest))
	if most := max(f.stall, f.firstToken); patience > f.stall && patience >= most {
		return most, "--first-token"
	}
	return patience, fmt.Sprintf("--stall %s, and more for its long prompt", short(f.stall))
}

// cancelAll cancels all requests, since the server hangs.
func (f *inflight) cancelAll(why *stallError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		own := *why
		own.waited = r.tokens.Load() == 0
		r.cancel(own.failure())
	}
	f.tokenAt = time.Now() // so that it happens once
}

// Waiting returns how many requests wait for their first token while none gets any, and for how
// long that is so. It returns 0 while an answer comes.
func (f *inflight) Waiting() (n int, since time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running > 0 || len(f.requests) == 0 {
		return 0, 0
	}
	return len(f.requests), time.Since(latest(f.requests[0].sent, f.tokenAt))
}

// Says returns what people see of a GPU that waits, or nothing.
func (f *inflight) Says() string {
	n, since := f.Waiting()
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == 0 || since < quietTime {
		if f.serial.Is && len(f.requests) > f.running && f.running > 0 {
			return fmt.Sprintf("works on one request at a time, %d wait there: %s", len(f.requests)-f.running, f.setting())
		}
		return ""
	}
	said := fmt.Sprintf("waiting for the first token of %s for %s", plural(n, "request", "requests"), seconds(since))
	if f.loading {
		return "loading, " + said
	}
	return said
}

// setting says what to change for a server that works on one request at a time.
func (f *inflight) setting() string {
	return fmt.Sprintf("OLLAMA_NUM_PARALLEL=%d there, or --slots 1 here", f.slots())
}

// report says in the log, now and then, that all requests wait.
func (f *inflight) report(now time.Time, n int, since time.Duration) {
	f.mu.Lock()
	loading, reported := f.loading, f.reported
	if n == 0 {
		f.reported = time.Time{}
	} else if since >= firstReport && now.Sub(reported) >= reportEvery {
		f.reported = now
	}
	said := f.reported.After(reported)
	f.mu.Unlock()
	why := "the server may be loading the model, or reading a long prompt"
	if loading {
		why = "the model is loading"
	}
	if said {
		f.log.Warn("waiting for a first token: "+why, zap.Int("requests", n), zap.String("for", seconds(since)),
			zap.String("limit", short(f.firstToken)+" (--first-token)"))
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// short shows a limit as people set it: 10m, and not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// seconds shows a duration as people say it: 70 s.
func seconds(d time.Duration) string { return fmt.Sprintf("%d s", int(d.Seconds())) }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
