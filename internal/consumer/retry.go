package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
)

const (
	firstPause   = 250 * time.Millisecond // before the second try, doubled before each further one
	maxPause     = 8 * time.Second
	maxSpent     = 5 * time.Minute  // in tries, after which there is no other; none is cut
	quickTries   = time.Minute      // after which there are no more than the usual tries
	quickJudged  = 10 * time.Second // the same, where another GPU has tried it to its end
	minTokenSize = 3                // bytes of a token, estimated low, so that the room that is left is estimated low, too
	fairTries    = 2                // tries that failed while the model answered others, before that is the verdict
)

// A retry is the way of one generation to its answer, or to the verdict on it. What is tried after
// a failure stands in pipeline's table of classes.
//
// A failure that may pass is tried again, a few times. If the model answered others meanwhile, or
// else a canary, then the generation is the reason: it is unanswered. If it does not answer a
// canary either, then it is the server, and the batch goes back.
//
// After a crash of the runner everything that was in flight is suspect. The order of events:
//
//  1. The runner crashes. The first request that is answered with the crash counts it; the others
//     may learn only that their connection broke, and later.
//  2. No request is sent until the server has answered a word: see recovery.
//  3. Each generation finds that the count has changed since its attempt began. That attempt does
//     not count against it, and it is tried again alone: nothing else is in flight on this GPU.
//  4. One that is answered is innocent. One that crashes the runner, alone, is tried again.
//  5. It is poison once chance does not explain its crashes any more: see evidence.
//
// When all answers stop together, each of them is tried again alone as well. One that hangs while
// others come stays in their company.
type retry struct {
	gpu        *requester
	generation pipeline.Generation
	request    pipeline.Request
	otherSeed  int
	context    func() int // tokens of prompt and answer together; 0: not known
	judged     bool       // another GPU has tried it to its end

	wanted   func() error  // why the generation is not begun any more; nil: it is
	began    time.Time     // the first attempt
	attempts int           // how often the model was asked, without those that say nothing about the generation
	spent    time.Duration // in attempts that failed, and in pauses
	failed   int           // attempts whose failure may pass
	fair     int           // of them, those during which the model answered something else
	own      share
	waited   time.Duration // for a server that is busy
	alone    bool
	roomier  bool
	reseeded bool
	pause    time.Duration
}

// Run asks until the answer is there or the verdict is final. With a failure it returns what there
// was of the last answer.
func (r *retry) Run(ctx context.Context) (pipeline.Completion, error) {
	r.pause, r.began = firstPause, time.Now()
	want, err := r.gpu.schemas.Of(r.request.Options.Schema)
	if err != nil {
		r.gpu.breaker.ProbeWith(r.request)
		return pipeline.Completion{}, err
	}
	for {
		a := fit(want, r.gpu.attempt(ctx, r.request, r.alone, r.mayBegin))
		if ctx.Err() != nil && a.err != nil {
			return pipeline.Completion{}, interrupted(ctx)
		}
		if errors.Is(a.err, errSetAside) { // it is not begun
			return a.completion, a.err
		}
		if errors.Is(a.err, errAway) || a.sent.IsZero() { // it was waited for already, or is no use
			r.gpu.breaker.ProbeWith(r.request)
			return a.completion, a.err
		}
		r.attempts++
		r.own.ended++
		if r.alone && !r.own.ranAlone && !notWorkedOn(a.err) {
			r.gpu.evidence.ranAlone(&r.own, errors.Is(a.err, pipeline.ErrRunnerCrashed))
		}
		r.gpu.breaker.Observe(a.probe, a.err)
		if a.err == nil {
			r.gpu.evidence.settle(r.failed)
			return a.completion, nil
		}
		switch again := pipeline.ClassOf(a.err).Rule().Retry; {
		case again == pipeline.RetryMoreRoom && !r.roomier && !errors.Is(a.err, pipeline.ErrEndless) && r.hasRoom(a.completion):
			r.roomier, r.alone = true, false // it was answered, so it is no suspect
			r.request.FirstNumPredict = r.request.Options.NumPredict
			r.request.Options.NumPredict *= 2
		case again == pipeline.RetryNewSeed && !r.reseeded:
			r.reseeded, r.alone = true, false
			r.request.Seed = r.otherSeed
		case again == pipeline.RetryBackoff:
			if err := r.backOff(ctx, a); err != nil {
				return a.completion, err
			}
		default:
			if needsPerson(a.err) {
				r.gpu.breaker.ProbeWith(r.request)
			}
			return a.completion, a.err
		}
	}
}

// mayBegin returns why the first attempt is not made any more, or nil.
func (r *retry) mayBegin() error {
	if r.attempts > 0 || r.wanted == nil {
		return nil
	}
	return r.wanted()
}

// backOff pauses after a failure that may pass, and returns nil if the generation is to be tried
// again, else the verdict.
func (r *retry) backOff(ctx context.Context, a attempt) error {
	var busy *pipeline.BusyError
	var stalled *stallError
	switch {
	case errors.As(a.err, &busy):
		return r.afterBusy(ctx, busy)
	case errors.Is(a.err, pipeline.ErrNotStarted):
		return r.afterBusy(ctx, &pipeline.BusyError{Err: a.err})
	case r.alone && errors.Is(a.err, pipeline.ErrRunnerCrashed):
		return r.afterCrash(a)
	case !r.alone && errors.As(a.err, &stalled) && (stalled.together || stalled.waited):
		r.attempts-- // it need not be the reason, and cannot be if it only waited
		r.alone = !stalled.waited
		return nil
	}
	if r.sleep(ctx) != nil {
		return interrupted(ctx)
	}
	if !r.alone && r.gpu.evidence.crashedSince(a) { // asked after the pause, when all have learned of the crash
		r.own.chance++
		r.alone = true
		r.attempts--
		return nil
	}
	r.spent += a.took
	r.failed++
	return r.afterFailure(ctx, a)
}

// sleep pauses, each time for longer.
func (r *retry) sleep(ctx context.Context) error {
	pause := outage.Jitter(r.pause)
	r.spent += pause
	r.pause = min(2*r.pause, maxPause)
	return outage.Sleep(ctx, pause)
}

// notWorkedOn reports whether the server refused a request before it worked on it.
func notWorkedOn(err error) bool {
	var busy *pipeline.BusyError
	return errors.As(err, &busy) || errors.Is(err, pipeline.ErrNotStarted)
}

// afterBusy waits for a server that takes no request at present, which is no failure of this one.
func (r *retry) afterBusy(ctx context.Context, busy *pipeline.BusyError) error {
	r.attempts--
	wait, asked := askedToWait(busy)
	patience := longestWait
	if !asked {
		wait, patience = outage.Jitter(min(r.pause, busyPause)), busyPatience
		r.pause = min(2*r.pause, busyPause)
	}
	if r.waited+wait > patience && r.waited > 0 {
		r.gpu.breaker.ProbeWith(r.request)
		return pipeline.Fail(pipeline.Retryable, "%w: it is busy, also after %s: %w", errAway, r.waited.Round(time.Second), busy)
	}
	r.waited += wait
	if outage.Sleep(ctx, wait) != nil {
		return interrupted(ctx)
	}
	return nil
}

// afterCrash returns the verdict on a generation that has crashed the runner once more while it ran
// alone, or nil if chance explains it.
func (r *retry) afterCrash(a attempt) error {
	r.own.alone++
	r.spent += a.took
	if r.gpu.evidence.isPoison(r.own, r.gpu.generations()) {
		return pipeline.Fail(pipeline.Poison, "%w; it did so %d times while nothing else ran", a.err, r.own.alone)
	}
	if r.spent >= maxSpent && r.own.alone >= leastCrashes {
		return r.unanswered(a)
	}
	return nil
}

// afterFailure returns the verdict on a generation that was tried often enough, or nil if it was
// not.
func (r *retry) afterFailure(ctx context.Context, a attempt) error {
	over := r.spent >= maxSpent
	least, most := r.gpu.evidence.tries(r.gpu.generations(), r.judged)
	quick := quickTries
	if r.judged {
		quick = quickJudged
	}
	slow := r.spent >= quick || errors.Is(a.err, pipeline.ErrStalled) // which no server does now and then
	last := over || r.failed >= least && (slow || r.failed >= most)
	var away error
	if r.gpu.evidence.provenSince(a) {
		r.fair++
	} else if last || r.failed >= fairTries {
		if away = r.gpu.Canaries(ctx, r.request, last); away == nil {
			r.fair++
		}
	}
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case needsPerson(away):
		r.gpu.breaker.ProbeWith(r.request)
		return away
	case !last || errors.Is(away, pipeline.ErrRunnerCrashed): // the word that is asked for after a crash tells
		return nil
	case away != nil:
		r.gpu.breaker.ProbeWith(r.request)
		return fmt.Errorf("%w: %w", errAway, a.err)
	case r.fair < fairTries && !over:
		return nil
	}
	return r.unanswered(a)
}

func (r *retry) unanswered(a attempt) error {
	return pipeline.Fail(pipeline.Unanswered, "%w; tried %s in %s, while the model answered others", a.err, plural(r.attempts, "time", "times"), seconds(r.spent))
}

// hasRoom reports whether twice the tokens would fit into the context. The completion that was
// cut off has the number of the prompt's tokens, if the model counted them.
func (r *retry) hasRoom(cut pipeline.Completion) bool {
	prompt := cut.PromptTokens
	if prompt == 0 {
		prompt = r.request.PromptBytes() / minTokenSize
	}
	wanted, room := 2*r.request.Options.NumPredict, r.context()
	return wanted <= pipeline.MaxNumPredict && (room == 0 || prompt+wanted <= room)
}
